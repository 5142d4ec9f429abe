//! Which driver moves the slots of a pair: the best that both servers have, and the next one when it keeps failing.

use std::collections::{BTreeMap, VecDeque};

use redisnode_proto::Millis;
use redisnode_proto::job::Try;
use redisnode_proto::topology::{Product, ServerVersion};

use super::too_slow::Costly;

/// A way of moving slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriverKind {
    /// `CLUSTER MIGRATESLOTS` at the source (Valkey 9.0 and later).
    MigrateSlots,
    /// `CLUSTER MIGRATION IMPORT` at the target (Redis 8.4 and later).
    Import,
    /// Pipelined `MIGRATE`, on every server.
    Migrate,
}

impl DriverKind {
    /// Its name in Reports, metrics and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MigrateSlots => "migrateslots",
            Self::Import => "import",
            Self::Migrate => "migrate",
        }
    }
}

/// What a server can do, as it was asked, not guessed from its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Product and version: which keys it reads.
    pub version: ServerVersion,
    /// It knows `CLUSTER MIGRATESLOTS`.
    pub migrate_slots: bool,
    /// It knows `CLUSTER MIGRATION`.
    pub import: bool,
}

/// The drivers that work from `source` to `target`, the best one first.
///
/// # Errors
/// If the target cannot read the source's keys: a sentence that says what to do.
pub fn drivers(source: &Ability, target: &Ability) -> Result<Vec<DriverKind>, String> {
    if !reads(target.version, source.version) {
        return Err(format!(
            "{} cannot read the keys of {}: the slots wait until the target's server is as new as the source's",
            target.version, source.version
        ));
    }
    let mut all = Vec::new();
    if source.migrate_slots && target.migrate_slots {
        all.push(DriverKind::MigrateSlots);
    }
    if source.import && target.import {
        all.push(DriverKind::Import);
    }
    all.push(DriverKind::Migrate);
    Ok(all)
}

/// Whether `target` reads what `source` dumps. The versions that servers put at the end of a DUMP, measured: Redis 7.0 10,
/// 8.0 12, 8.6 13, Valkey 8.1 11, 9.1 80. A server refuses higher ones than its own; Valkey 9 refuses 12 to 79 too.
fn reads(target: ServerVersion, source: ServerVersion) -> bool {
    let (own, theirs) = (dump_version(target), dump_version(source));
    theirs <= own && (target.product == source.product || theirs <= 11)
}

fn dump_version(server: ServerVersion) -> u32 {
    match (server.product, server.major, server.minor) {
        (Product::Redis, ..=6, _) | (Product::Redis, 7, ..=1) => 10,
        (Product::Redis, 7, ..=3) | (Product::Valkey, ..=8, _) => 11,
        (Product::Redis, 7, _) | (Product::Redis, 8, ..=3) => 12,
        (Product::Redis, ..) => 13,
        (Product::Valkey, ..) => 80,
    }
}

/// What a job does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It moves all that is wanted by this driver.
    Move(DriverKind),
    /// It finishes the slots that are open, by the driver that alone knows how, and begins nothing: the next job has a better
    /// driver, or may not begin anything now.
    Finish,
}

/// The course of a job whose pair has slots open or not, and these drivers or none for a reason.
///
/// # Errors
/// If nothing is to be finished and nothing may be begun: that reason.
pub fn course(has_open: bool, drivers: Result<Vec<DriverKind>, String>, tries: &mut Tries) -> Result<Course, String> {
    let driver = drivers.map(|drivers| tries.choose(&drivers));
    match driver {
        // It finishes them besides: what cannot be finished yet must not keep the others waiting.
        Ok(DriverKind::Migrate) => Ok(Course::Move(DriverKind::Migrate)),
        Ok(_) | Err(_) if has_open => Ok(Course::Finish),
        Ok(driver) => Ok(Course::Move(driver)),
        Err(reason) => Err(reason),
    }
}

/// So often in a row a driver may fail before the next one has its turn.
const TRIES: u32 = 3;
/// Tries that are kept to be shown.
const KEPT: usize = 6;

/// What became of the tries of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    failed: BTreeMap<DriverKind, u32>,
    costly: Costly,
    shown: VecDeque<Try>,
}

impl Tries {
    /// The first of these that has not failed too often; when all have, they begin anew with the first.
    pub fn choose(&mut self, drivers: &[DriverKind]) -> DriverKind {
        let failures = |driver: &DriverKind| self.failed.get(driver).copied().unwrap_or(0);
        if let Some(driver) = drivers.iter().find(|driver| failures(driver) < TRIES) {
            return *driver;
        }
        self.failed.clear();
        drivers.first().copied().unwrap_or(DriverKind::Migrate)
    }

    /// This driver has failed.
    pub fn failed(&mut self, driver: DriverKind, reason: &str) {
        *self.failed.entry(driver).or_default() += 1;
        self.note(driver, reason);
    }

    /// The job that has failed held clients up for nothing.
    pub fn was_costly(&mut self, node_timeout: Millis) {
        self.costly.again(node_timeout);
    }

    /// How long after a job that failed the next one begins: `usual`, or longer after such as hold clients up.
    pub fn retry_after(&self, usual: Millis, node_timeout: Millis) -> Millis {
        self.costly.wait(node_timeout).max(usual)
    }

    /// The pair is not this driver's now: something was in its way for too long.
    pub fn gave_way(&mut self, driver: DriverKind, reason: &str) {
        self.failed.insert(driver, TRIES);
        self.note(driver, reason);
    }

    /// This driver has moved slots: what failed before was not its doing.
    pub fn moved(&mut self, driver: DriverKind) {
        self.failed.remove(&driver);
        self.costly = Costly::default();
    }

    fn note(&mut self, driver: DriverKind, reason: &str) {
        let now = Try { driver: driver.name().to_owned(), reason: reason.to_owned() };
        if self.shown.back() == Some(&now) {
            return;
        }
        self.shown.push_back(now);
        while self.shown.len() > KEPT {
            self.shown.pop_front();
        }
    }

    /// The newest tries, the newest last.
    pub fn shown(&self) -> Vec<Try> {
        self.shown.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(product: Product, number: &str) -> Ability {
        let version = ServerVersion::parse(product, number).unwrap();
        let at_least =
            |wanted: Product, major, minor| product == wanted && (version.major, version.minor) >= (major, minor);
        Ability { version, migrate_slots: at_least(Product::Valkey, 9, 0), import: at_least(Product::Redis, 8, 4) }
    }

    fn redis(number: &str) -> Ability {
        server(Product::Redis, number)
    }

    fn valkey(number: &str) -> Ability {
        server(Product::Valkey, number)
    }

    #[test]
    fn both_servers_must_have_what_moves_in_one_piece() {
        use DriverKind::{Import, Migrate, MigrateSlots};
        for (source, target, wanted) in [
            (redis("7.0.15"), redis("7.0.15"), vec![Migrate]),
            (redis("7.0.15"), redis("8.6.3"), vec![Migrate]),
            (redis("8.6.3"), redis("8.6.3"), vec![Import, Migrate]),
            (valkey("8.1.1"), valkey("9.1.2"), vec![Migrate]),
            (valkey("9.1.2"), valkey("9.0.5"), vec![MigrateSlots, Migrate]),
            (redis("7.2.0"), valkey("8.1.1"), vec![Migrate]),
        ] {
            assert_eq!(drivers(&source, &target).unwrap(), wanted, "{} to {}", source.version, target.version);
        }
    }

    #[test]
    fn a_target_that_cannot_read_the_keys_waits_and_says_for_what() {
        for (source, target) in [
            (redis("8.6.3"), redis("7.0.15")),
            (redis("8.6.3"), redis("8.0.6")),
            (valkey("9.1.2"), valkey("8.1.1")),
            (redis("8.0.0"), valkey("9.1.2")),
            (valkey("9.1.2"), redis("8.6.3")),
        ] {
            let reason = drivers(&source, &target).unwrap_err();
            assert!(reason.contains(&source.version.to_string()) && reason.contains("wait"), "{reason}");
        }
    }

    #[test]
    fn a_driver_that_keeps_failing_gives_way_and_gets_another_turn_when_all_have_failed() {
        let all = [DriverKind::MigrateSlots, DriverKind::Migrate];
        let mut tries = Tries::default();
        for _ in 0..TRIES {
            assert_eq!(tries.choose(&all), DriverKind::MigrateSlots);
            tries.failed(DriverKind::MigrateSlots, "the target ran out of memory");
        }
        for _ in 0..TRIES {
            assert_eq!(tries.choose(&all), DriverKind::Migrate);
            tries.failed(DriverKind::Migrate, "the target does not answer");
        }
        assert_eq!(tries.choose(&all), DriverKind::MigrateSlots);
        let shown: Vec<String> = tries.shown().into_iter().map(|one| one.driver).collect();
        assert_eq!(shown, ["migrateslots", "migrate"], "the same words are shown once");
    }

    #[test]
    fn open_slots_are_finished_first_and_keep_no_others_waiting_that_the_same_driver_moves() {
        let atomic = || Ok(vec![DriverKind::MigrateSlots, DriverKind::Migrate]);
        let (classic, none) = (|| Ok(vec![DriverKind::Migrate]), || Err("the target is older".to_owned()));
        let mut tries = Tries::default();
        assert_eq!(course(false, atomic(), &mut tries), Ok(Course::Move(DriverKind::MigrateSlots)));
        assert_eq!(course(true, atomic(), &mut tries), Ok(Course::Finish));
        assert_eq!(course(true, none(), &mut tries), Ok(Course::Finish));
        assert_eq!(course(false, none(), &mut tries), Err("the target is older".to_owned()));
        for has_open in [false, true] {
            assert_eq!(course(has_open, classic(), &mut tries), Ok(Course::Move(DriverKind::Migrate)));
        }
        tries.gave_way(DriverKind::MigrateSlots, "the source saves");
        assert_eq!(course(true, atomic(), &mut tries), Ok(Course::Move(DriverKind::Migrate)));
    }

    #[test]
    fn what_moves_in_between_may_fail_again_as_often() {
        let all = [DriverKind::Import, DriverKind::Migrate];
        let mut tries = Tries::default();
        for round in 0..10 {
            tries.failed(DriverKind::Import, &format!("round {round}"));
            tries.moved(DriverKind::Import);
            assert_eq!(tries.choose(&all), DriverKind::Import);
        }
        assert_eq!(tries.shown().len(), KEPT);
        tries.gave_way(DriverKind::Import, "the source saves");
        assert_eq!(tries.choose(&all), DriverKind::Migrate);
    }

    #[test]
    fn a_job_that_holds_clients_up_for_nothing_is_not_begun_again_at_once() {
        let (usual, timeout) = (Millis(100), Millis(15_000));
        let mut tries = Tries::default();
        tries.failed(DriverKind::Migrate, "the target does not answer");
        assert_eq!(tries.retry_after(usual, timeout), usual);
        tries.was_costly(timeout);
        assert!(tries.retry_after(usual, timeout) > usual);
        tries.moved(DriverKind::Migrate);
        assert_eq!(tries.retry_after(usual, timeout), usual);
    }
}
