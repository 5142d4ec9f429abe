//! The server's program: looked for by the launcher, which is in the server's container. One that is missing or too old
//! is never started.

use redisnode_proto::report::ServerState;
use redisnode_proto::topology::{Product, ServerVersion};
use redisnode_proto::{Millis, event::Severity};

use super::reconcile::Reconciler;
use super::shared::whole;
use crate::launch_client::LauncherState;
use crate::launcher::Program;

/// A launcher that has not answered is asked again after so long.
const ASK_AGAIN: Millis = Millis(2000);

impl Reconciler {
    /// What the launcher found, if it has told.
    pub(super) fn found(&self) -> Option<Program> {
        let asked = self.shared.args.server.to_string_lossy();
        match &*self.shared.launcher.state().borrow() {
            LauncherState::Present(status) => status.program.clone().filter(|program| program.asked == asked),
            LauncherState::Absent | LauncherState::Unknown => None,
        }
    }

    /// Asks the launcher for the program, unless it has told. Early, so that the answer is there when the server may
    /// start.
    pub(super) async fn look_for_program(&mut self) {
        let now = self.shared.now();
        if self.found().is_some() || self.program_asked_at.is_some_and(|at| now.since(at) < ASK_AGAIN) {
            return;
        }
        let asked = self.shared.args.server.to_string_lossy().into_owned();
        match self.shared.launcher.find(asked).await {
            Ok(()) => self.program_asked_at = Some(now),
            Err(error) => tracing::debug!(error = %whole(&error), "cannot ask for the server's program"),
        }
    }

    /// The program to start; none, and the reason is the server's state, if there is none that may be started.
    pub(super) fn program(&mut self) -> Option<Program> {
        let Some(program) = self.found() else {
            self.waits("asking the launcher which server it has".into());
            return None;
        };
        let refusal = refusal(&program);
        let Some(reason) = refusal else {
            self.shared.state().settle("Refused");
            return Some(program);
        };
        let mut state = self.shared.state();
        if state.problems.get("Refused").is_none_or(|said| said.message != reason) {
            state.event(Severity::Warning, "Refused", reason.clone());
        }
        state.ready = Err(reason.clone());
        state.problem("Refused", reason.clone());
        state.server = ServerState::Refused { reason };
        None
    }
}

/// Why a program is not started. What it prints may be anything; a version that cannot be read is no reason.
fn refusal(program: &Program) -> Option<String> {
    let too_old = || parse_version(&program.version)?.runs().err().map(|error| error.to_string());
    program.missing.clone().or_else(too_old)
}

/// `Redis server v=7.0.15 sha=…`, `Valkey server v=9.1.2 …`.
fn parse_version(output: &str) -> Option<ServerVersion> {
    let product = if output.starts_with("Valkey") { Product::Valkey } else { Product::Redis };
    let number = output.split_ascii_whitespace().find_map(|word| word.strip_prefix("v="))?;
    ServerVersion::parse(product, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_line_of_both_products() {
        let redis = parse_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64").unwrap();
        assert_eq!(redis.to_string(), "Redis 7.0.15");
        let valkey = parse_version("Valkey server v=9.1.2 sha=0").unwrap();
        assert_eq!(valkey.to_string(), "Valkey 9.1.2");
    }

    #[test]
    fn a_program_that_is_missing_or_too_old_is_not_started() {
        let program = |version: &str| Program { version: version.into(), ..Program::default() };
        assert_eq!(refusal(&program("Valkey server v=9.1.2 sha=0")), None);
        assert_eq!(refusal(&program("what it is called")), None);
        assert!(refusal(&program("Redis server v=6.2.16 x")).unwrap().contains("6.2"));
        let missing = Program { missing: Some("there is none".into()), ..Program::default() };
        assert_eq!(refusal(&missing).as_deref(), Some("there is none"));
    }
}
