//! The cookbook as a reader follows it: each command runs as it stands there, and prints what stands there.

use std::path::Path;
use std::time::Duration;

use redisnode_tests::kube::Kubernetes;
use redisnode_tests::servers;
use redisnode_tests::skip::skip;
use redisnode_tests::turn::Turn;

/// How long the commands of one block may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// Stands for whatever comes there: in a line for words, alone for lines.
const ANYTHING: &str = "…";

/// Commands, and what they print; nothing is said where that is of no interest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    line: usize,
    commands: String,
    prints: Option<String>,
}

#[test]
fn the_cookbook_can_be_followed_word_by_word() {
    let _turn = Turn::alone();
    let Some(valkey) = servers::family("valkey-9.1") else {
        return skip("the cookbook", "it is about Valkey 9.1, which is not there");
    };
    let Some(kube) = Kubernetes::shared() else { return };
    let ours = ["redisnode", "redis-coordinator"].map(|program| kube.released_image(program));
    for image in ours.iter().chain([&kube.server_image_called(&valkey, "valkey/valkey:9.1")]) {
        kube.load(image);
    }
    // The other cases share a definition that is no release's.
    kube.kubectl(&["delete", "crd", "redisclusters.redisnode.io", "--ignore-not-found"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for step in steps(&cookbook()) {
        let seconds = PATIENCE.as_secs().to_string();
        let output = kube.inside(|| {
            let mut command = kube.command("timeout");
            let script = format!("exec 2>&1\n{}", step.commands);
            command.args([&seconds, "bash", "-euo", "pipefail", "-c", &script]).current_dir(&root).output().unwrap()
        });
        let printed = String::from_utf8_lossy(&output.stdout);
        let place = format!("docs/cookbook.md, line {}:\n{}", step.line, step.commands);
        assert!(output.status.success(), "{place}\n{}:\n{printed}", output.status);
        if let Some(Err(why)) = step.prints.map(|expected| is_as(&expected, &printed)) {
            panic!("{place}\n{why}; it printed:\n{printed}");
        }
    }
    kube.kubectl(&["delete", "crd", "redisclusters.redisnode.io"]);
}

fn cookbook() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook.md");
    std::fs::read_to_string(path).unwrap()
}

/// The blocks marked `sh`, each with the block of text that follows it.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block: Option<(&str, usize, Vec<&str>)> = None;
    let mut follows = false;
    for (number, line) in text.lines().enumerate() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(kind)) => block = Some((kind, number + 1, Vec::new())),
            (Some((kind, begun, lines)), Some(_)) => {
                let body = lines.join("\n");
                match *kind {
                    "sh" => steps.push(Step { line: *begun, commands: body, prints: None }),
                    "text" if follows => steps.last_mut().unwrap().prints = Some(body),
                    _ => {}
                }
                follows = *kind == "sh";
                block = None;
            }
            (Some((_, _, lines)), None) => lines.push(line),
            (None, None) => follows &= line.is_empty(),
        }
    }
    steps
}

/// Whether what was printed is what was expected; the error says which line is not.
fn is_as(expected: &str, printed: &str) -> Result<(), String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: Vec<String> = printed.lines().map(words).collect();
    let mut rest = printed.as_slice();
    let mut anywhere = false;
    for line in expected.lines().map(words) {
        if line == ANYTHING {
            anywhere = true;
            continue;
        }
        let found = rest.iter().position(|printed| fits(&line, printed)).filter(|at| anywhere || *at == 0);
        let at = found.ok_or_else(|| format!("{line:?} is missing"))?;
        rest = rest.get(at + 1..).unwrap_or_default();
        anywhere = false;
    }
    if anywhere || rest.is_empty() { Ok(()) } else { Err(format!("{:?} is too much", rest[0])) }
}

fn fits(expected: &str, printed: &str) -> bool {
    let Some((first, more)) = expected.split_once(ANYTHING) else { return expected == printed };
    let Some(mut rest) = printed.strip_prefix(first.trim_end()) else { return false };
    let parts: Vec<&str> = more.split(ANYTHING).map(str::trim).collect();
    let Some((last, between)) = parts.split_last() else { return true };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_printed_is_compared_line_by_line_with_gaps() {
    assert_eq!(is_as("NAME … AGE\na 1", "NAME  READY   AGE\na   1\n"), Ok(()));
    assert_eq!(is_as("…\nb\n…", "a\nb\nc\n"), Ok(()));
    assert_eq!(is_as("port…", "port is reserved"), Ok(()));
    assert!(is_as("b", "a\nb\n").is_err());
    assert!(is_as("a", "a\nb\n").unwrap_err().contains("too much"));
    assert!(is_as("…\nb\na", "a\nb\n").unwrap_err().contains("missing"));
    assert!(fits("a … b … c", "a b b c c") && fits("… is", "that is"));
    assert!(!fits("all … passed", "all 13 checks failed") && !fits("OK", "OKAY"));
}

#[test]
fn only_blocks_of_commands_are_run_and_each_has_the_text_that_follows_it() {
    let text = "```console\nno\n```\n\n```text\nno\n```\n\n```sh\na\n```\n\n```text\nb\n```\n\n```sh\nc\n```\nmore\n\n```text\nno\n```\n";
    let step = |line, commands: &str, prints: Option<&str>| Step {
        line,
        commands: commands.to_owned(),
        prints: prints.map(str::to_owned),
    };
    assert_eq!(steps(text), [step(9, "a", Some("b")), step(17, "c", None)]);
    assert!(steps(&cookbook()).len() > 10);
}
