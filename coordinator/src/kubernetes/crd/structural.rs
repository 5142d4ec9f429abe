//! From a JSON schema to what Kubernetes calls a structural one: one type each, no null, no reference, no title.

use serde_json::{Map, Value, json};

/// `schema` as Kubernetes takes it.
pub(super) fn structural(mut schema: Value) -> Value {
    rewrite(&mut schema);
    schema
}

fn rewrite(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(fields) => {
            take_the_one_choice(fields);
            list_the_words(fields);
            drop_what_says_nothing(fields);
            unwrap_lines(fields);
            for (key, value) in fields.iter_mut() {
                if key == "properties" {
                    // Names of fields, which may be words of the schema too.
                    value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(rewrite);
                } else if matches!(key.as_str(), "items" | "additionalProperties") {
                    rewrite(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// "This or nothing" is this.
fn take_the_one_choice(fields: &mut Map<String, Value>) {
    for key in ["anyOf", "oneOf", "allOf"] {
        let Some(choices) = fields.get(key).and_then(Value::as_array) else { continue };
        let is_something =
            |choice: &&Value| choice.get("type") != Some(&json!("null")) && choice.get("enum") != Some(&json!([null]));
        let [only] = choices.iter().filter(is_something).collect::<Vec<_>>()[..] else { continue };
        let Value::Object(only) = only.clone() else { continue };
        fields.remove(key);
        for (name, value) in only {
            fields.entry(name).or_insert(value);
        }
    }
}

/// Words with a description each become a list of words; their descriptions go into that of the whole.
fn list_the_words(fields: &mut Map<String, Value>) {
    let Some(choices) = fields.get("oneOf").and_then(Value::as_array) else { return };
    let words: Vec<Value> = choices
        .iter()
        .filter_map(|choice| choice.get("const").or_else(|| choice.get("enum")?.as_array()?.first()))
        .cloned()
        .collect();
    if words.len() != choices.len() {
        return;
    }
    let said = choices
        .iter()
        .zip(&words)
        .filter_map(|(choice, word)| Some(format!("{}: {}", word.as_str()?, choice.get("description")?.as_str()?)));
    let own = fields.get("description").and_then(Value::as_str).map(str::to_owned);
    let description = own.into_iter().chain(said).collect::<Vec<_>>().join("\n\n");
    fields.remove("oneOf");
    fields.insert("type".into(), "string".into());
    fields.insert("enum".into(), words.into());
    fields.insert("description".into(), description.into());
}

fn drop_what_says_nothing(fields: &mut Map<String, Value>) {
    for key in ["title", "nullable", "$schema"] {
        fields.remove(key);
    }
    if fields.get("default") == Some(&Value::Null) {
        fields.remove("default");
    }
    if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
        fields.remove("additionalProperties");
    }
    if let Some(Value::Array(types)) = fields.get("type") {
        let only = types.iter().find(|kind| **kind != json!("null")).cloned();
        fields.insert("type".into(), only.unwrap_or_default());
    }
    if fields.get("type") == Some(&json!("integer")) {
        // Bounds are rules, whose messages say what to write.
        fields.remove("minimum");
        fields.remove("maximum");
        fields.insert("format".into(), "int64".into());
    }
}

/// Lines end where paragraphs end, not where the source's did.
fn unwrap_lines(fields: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = fields.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// The schema at `path` below `schema`: names of fields, `[]` for a list's items.
fn at<'s>(schema: &'s mut Value, path: &[&str]) -> Option<&'s mut Map<String, Value>> {
    let place = path.iter().try_fold(schema, |schema, name| match *name {
        "[]" => schema.get_mut("items"),
        name => schema.get_mut("properties")?.get_mut(name),
    });
    place?.as_object_mut()
}

/// Sets `key` at `path`; a path that is not there is left alone (a test looks for each).
pub(super) fn set(schema: &mut Value, path: &[&str], key: &str, value: Value) {
    if let Some(fields) = at(schema, path) {
        fields.insert(key.to_owned(), value);
    }
}

/// Appends to the list `key` at `path`.
pub(super) fn push(schema: &mut Value, path: &[&str], key: &str, value: Value) {
    if let Some(fields) = at(schema, path)
        && let Some(list) = fields.entry(key).or_insert_with(|| json!([])).as_array_mut()
    {
        list.push(value);
    }
}

/// The same with all names in alphabetical order, whatever order the maps keep.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect::<Vec<_>>().into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
