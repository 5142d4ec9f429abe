//! `migration`: shows how slots move by the agents' own word, and has the coordinator hold that up or go on.

use redisnode_planner::status;
use redisnode_proto::spec::{Moves, RedisCluster};
use redisnode_proto::status::ClusterStatus;

use crate::cli::{Format, MigrationAction, MigrationArgs, MovesArgs};
use crate::place::Place;
use crate::{Verdict, moves, put};

/// Does it.
pub(crate) async fn run(place: &impl Place, args: &MigrationArgs) -> Result<Verdict, String> {
    match &args.action {
        None => show(place, &args.show).await,
        Some(MigrationAction::Show(args)) => show(place, args).await,
        Some(MigrationAction::Pause(_)) => hold(place, Moves::Paused).await,
        Some(MigrationAction::Resume(_)) => hold(place, Moves::GoOn).await,
        Some(MigrationAction::Abort(_)) => hold(place, Moves::Aborted).await,
    }
}

async fn show(place: &impl Place, args: &MovesArgs) -> Result<Verdict, String> {
    let (resource, status) = gather(place).await?;
    let text = match args.output {
        Format::Table | Format::Wide => moves::text(&place.title(), &resource, &status),
        Format::Json => {
            let value = moves::value(&resource, &status);
            serde_json::to_string_pretty(&value).map_err(|error| error.to_string())? + "\n"
        }
        Format::Yaml => {
            serde_saphyr::to_string(&moves::value(&resource, &status)).map_err(|error| error.to_string())?
        }
    };
    put(&text);
    let stalled = status.moves.iter().any(|shown| shown.stalled.is_some());
    Ok(if stalled { Verdict::Bad } else { Verdict::Good })
}

/// What the agents say now; by the word of the coordinator where they cannot be asked.
async fn gather(place: &impl Place) -> Result<(RedisCluster, ClusterStatus), String> {
    let why = match place.snapshot().await {
        Ok(snapshot) => {
            let status = status(&snapshot.world(&snapshot.resource));
            return Ok((snapshot.resource, status));
        }
        Err(why) => why,
    };
    match place.told().await {
        Ok(Some(mut resource)) => {
            let status = resource.status.take().unwrap_or_default();
            Ok((resource, status))
        }
        Ok(None) | Err(_) => Err(why),
    }
}

async fn hold(place: &impl Place, moves: Moves) -> Result<Verdict, String> {
    let resource = place.hold_moves(moves).await?;
    put(&held(&place.title(), moves, &resource));
    Ok(Verdict::Good)
}

/// What was brought about, and what stands in its way.
fn held(title: &str, moves: Moves, resource: &RedisCluster) -> String {
    let mut text = match moves {
        Moves::Paused | Moves::Unclear => {
            format!("moves of {title} are paused: none begins, slots that are half moved are finished\n")
        }
        Moves::Aborted => format!(
            "moves of {title} are aborted: they end at whole slots, and every slot stays where it is then, until the spec \
             changes or moves are resumed\n"
        ),
        Moves::GoOn => format!("moves of {title} go on\n"),
    };
    if moves == Moves::GoOn && resource.spec.migration.pause {
        text.push_str("but its spec pauses them: write migration.pause: false\n");
    }
    if resource.metadata.is_paused() {
        let name = &resource.metadata.name;
        text.extend([
            "but all its changes are paused, so agents hear of it after kubectl rediscluster resume ",
            name,
            "\n",
        ]);
    }
    text
}

#[cfg(test)]
mod tests {
    use redisnode_proto::spec::PAUSED;

    use super::*;
    use crate::testing::resource;

    #[test]
    fn what_stands_in_the_way_is_said() {
        let mut resource = resource();
        assert_eq!(held("a/my", Moves::GoOn, &resource), "moves of a/my go on\n");
        resource.spec.migration.pause = true;
        assert!(held("a/my", Moves::GoOn, &resource).ends_with("write migration.pause: false\n"));
        resource.metadata.annotations.insert(PAUSED.to_owned(), "true".to_owned());
        let text = held("a/my", Moves::Aborted, &resource);
        assert!(text.contains("whole slots") && text.ends_with("kubectl rediscluster resume my\n"), "{text}");
    }
}
