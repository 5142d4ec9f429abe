//! `redis-coordinator check`: asks a running coordinator whether it is ready, for `helm test` and for people. Its image has
//! no shell and no other program that could. It only asks.

use std::time::Duration;

use redisnode_http::routes::READYZ;
use redisnode_http::{Client, Method};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::CheckArgs;
use crate::failure::{Failure, whole};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks until the answer is yes, or the time is over: a new Service's address and name take a moment to work.
pub async fn run(args: CheckArgs) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(args.seconds);
    loop {
        let why = match ask(&args.address).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if Instant::now() >= until {
            return Err(Failure::Runtime(format!(
                "{} is not ready: {why}; look at the coordinator's pods and their logs",
                args.address
            )));
        }
        sleep(PAUSE).await;
    }
}

/// Any address of the name that says yes will do.
async fn ask(address: &str) -> Result<(), String> {
    let addresses =
        timeout(ANSWER, lookup_host(address)).await.map_err(|_| "the name is not found in time".to_owned())?;
    let mut last = "the name has no address".to_owned();
    for address in addresses.map_err(|error| whole(&error))? {
        match Client::new(None).call(address, Method::GET, READYZ, Vec::new().into(), ANSWER).await {
            Ok(_) => return Ok(()),
            Err(error) => last = whole(&error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use redisnode_http::server::listen;

    use super::*;
    use crate::admin::fleet::{self, AllShown};
    use crate::clock::Clock;

    fn args(address: &str, seconds: u64) -> CheckArgs {
        CheckArgs { address: address.to_owned(), seconds }
    }

    #[tokio::test]
    async fn a_coordinator_that_serves_is_ready() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(fleet::run(listener, AllShown::default(), Clock::start()));
        run(args(&address, 5)).await.unwrap();
        server.abort();
    }

    #[tokio::test]
    async fn where_nobody_serves_it_says_so() {
        // Bound and let go: nobody else gets it at once.
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let said = run(args(&address, 0)).await.unwrap_err().to_string();
        assert!(said.starts_with(&format!("{address} is not ready: ")), "{said}");
    }
}
