//! `pause` and `resume`: whether the coordinator may change anything of a cluster.

use crate::place::Place;
use crate::{Verdict, put};

/// Says it to the coordinator.
pub(crate) async fn run(place: &impl Place, paused: bool) -> Result<Verdict, String> {
    place.pause(paused).await?;
    put(&if paused {
        format!("the changes of {} are paused; what its agents were told goes on, takeovers too\n", place.title())
    } else {
        format!("the changes of {} go on\n", place.title())
    });
    Ok(Verdict::Good)
}
