//! Random histories: a cluster is founded, clients write, things break and the user changes his mind; then everything
//! is mended, and the cluster must become what was asked for last, with every acknowledged write.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::clock::Time;
use super::disk::Keeping;
use super::faults::Fault;
use super::flavor;
use super::mutation::Mutation;
use super::oracle::invariant;
use super::temper::Temper;
use super::world::{Event, World};

/// `cluster-node-timeout` of the histories, milliseconds.
const NODE_TIMEOUT: Time = 3000;
/// When faults begin.
const FAULTS_FROM: Time = 7000;
/// How long a cluster may take to become what is asked for, once faults have stopped.
const CONVERGES_WITHIN: Time = 90_000;

/// How a history ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What it was about, in a line.
    pub title: String,
    /// The invariant that broke, and how.
    pub broken: Option<(&'static str, String)>,
    /// The last lines of its event log.
    pub log: Vec<String>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Of these, how many may be lost by documented rules.
    pub excused: usize,
    /// How long it took to converge after the faults, milliseconds.
    pub converged_after: Option<Time>,
}

impl Outcome {
    /// Seed, invariant and event log, for a person.
    pub fn story(&self) -> String {
        let what = self
            .broken
            .as_ref()
            .map_or("nothing broke".to_owned(), |(name, detail)| format!("BROKEN: {name}: {detail}"));
        format!("{}\n{what}\nseed {} ({})\n", self.log.join("\n"), self.seed, self.title)
    }
}

/// Runs the history of `seed`, with a rule taken away if one is named.
pub fn random_history(seed: u64, mutation: Option<Mutation>) -> Outcome {
    // What the history is about is drawn apart from what happens in it.
    let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
    let flavor = flavor::ALL[dice.random_range(0..flavor::ALL.len())];
    let keeping =
        [Keeping::Nothing, Keeping::Everything, Keeping::Everything, Keeping::OldDumps][dice.random_range(0..4)];
    let (primaries, factor) = shape(&mut dice);
    let mut world = World::new(seed, flavor, keeping, NODE_TIMEOUT);
    world.mutation = mutation;
    world.coordinators.spec = super::spec::spec(primaries, factor, NODE_TIMEOUT, keeping);
    world.make_keys(4 + primaries as usize * 2);
    let title = format!("{}, {keeping:?}, {primaries} shards with {factor} replicas", flavor.name);
    world.say(|| format!("history of seed {seed}: {title}"));
    world.start_coordinator();
    world.run_until(4000);
    world.writing = true;
    world.after(1, Event::Client);
    let calm = draw_faults(&mut world, &mut dice, primaries, factor);
    world.rough = dice.random_range(0..3) > 0;
    if world.moves_whole() {
        draw_moves(&mut world, &mut dice, (primaries * (factor + 1)) as usize);
    }
    world.run_until(calm);
    end_faults(&mut world);
    finish(world, seed, title)
}

/// Small clusters more often than large ones.
fn shape(dice: &mut StdRng) -> (u32, u32) {
    let most = [2, 3, 3, 4, 5, 8][dice.random_range(0..6)];
    (dice.random_range(1..=most), [0, 1, 1, 1, 2][dice.random_range(0..5)])
}

/// Schedules what breaks; says when it is over.
fn draw_faults(world: &mut World, dice: &mut StdRng, primaries: u32, factor: u32) -> Time {
    let count = dice.random_range(0..8);
    let mut at = FAULTS_FROM;
    let members = (primaries * (factor + 1)) as usize;
    for _ in 0..count {
        at += dice.random_range(0..=4) * dice.random_range(0..1500);
        let fault = draw_fault(dice, members);
        world.queue.push(at, Event::Fault(fault));
    }
    if world.keeping == Keeping::OldDumps {
        for node in 0..members {
            let when = dice.random_range(4000..at + 4000);
            world.queue.push(when, Event::Fault(Fault::Dump(node)));
        }
    }
    at + dice.random_range(1000..9000)
}

/// How moves in one piece go, and what comes between them beside the faults of every history.
fn draw_moves(world: &mut World, dice: &mut StdRng, members: usize) {
    world.temper = match dice.random_range(0..12) {
        0 => Temper::Hangs(3),
        1 => Temper::Fails,
        2 => Temper::Saves,
        _ => Temper::Even,
    };
    for _ in 0..dice.random_range(0..4) {
        let at = FAULTS_FROM + dice.random_range(0..9000);
        let node = dice.random_range(0..members);
        let fault = match dice.random_range(0..6) {
            0 => Fault::Flush(node),
            1 => Fault::Pause(node, dice.random_range(10..2000)),
            2 => Fault::Save(node, dice.random_range(10..3000)),
            _ => {
                let (primaries, factor) = shape(dice);
                Fault::Spec(primaries, factor)
            }
        };
        world.queue.push(at, Event::Fault(fault));
    }
}

fn draw_fault(dice: &mut StdRng, members: usize) -> Fault {
    let node = dice.random_range(0..members);
    let other = dice.random_range(0..members);
    let soon = dice.random_range(100..2000);
    let late = dice.random_range(500..12_000);
    let back = if dice.random_range(0..2) == 0 { soon } else { late };
    match dice.random_range(0..34) {
        6..=8 => Fault::KillAgent(node, back),
        9..=12 => Fault::KillNode(node, back),
        13..=14 => Fault::LoseFolder(node, back),
        15..=16 => Fault::StopInOrder(node, soon),
        17..=18 => Fault::Freeze(node, back),
        19..=20 => Fault::Island(node, back),
        21 if node != other => Fault::Cut(node, other, back),
        22 => Fault::Lossy(dice.random_range(1..25)),
        23 => Fault::SlowBus(dice.random_range(50..1500)),
        24..=25 => Fault::KillCoordinator(back),
        26 => Fault::SecondCoordinator,
        27..=32 => {
            let (primaries, factor) = shape(dice);
            Fault::Spec(primaries, factor)
        }
        // Most often: a server dies alone.
        _ => Fault::KillServer(node),
    }
}

/// Everything is mended and started again.
pub(crate) fn end_faults(world: &mut World) {
    world.say(|| "faults are over".to_owned());
    world.rough = false;
    world.apply_fault(&Fault::Mend);
    (world.net.lossy, world.net.slow_bus) = (0, 0);
    for node in 0..world.nodes.len() {
        if let Some(server) = world.nodes[node].server.as_mut().filter(|server| server.stopped) {
            server.stopped = false;
            world.net.last_cut.insert(node, world.now);
        }
        if world.nodes[node].agent.is_none() && !world.nodes[node].gone {
            world.start_agent(node);
        }
    }
    if world.coordinators.lives.is_empty() {
        world.start_coordinator();
    }
}

/// Lets the cluster converge, and looks at what is there at the end.
pub(crate) fn finish(mut world: World, seed: u64, title: String) -> Outcome {
    let calm = world.now;
    let mut converged_after = None;
    let mut missing = Ok(());
    // Each pair may have to wait for a deadline or two before the next driver has its turn.
    let patience = if world.temper == Temper::Even { 1 } else { 4 };
    while world.oracle.broken.is_none() && world.now < calm + patience * CONVERGES_WITHIN {
        let next = world.now + 500;
        world.run_until(next);
        if world.now > calm + 3000 {
            world.writing = false;
        }
        missing = world.unsettled();
        if missing.is_ok() && !world.writing {
            converged_after = Some(world.now - calm);
            break;
        }
    }
    if world.oracle.broken.is_none() && !world.waits_for_a_person() {
        match missing {
            Ok(()) => world.check_data(),
            Err(why) => world.oracle.fail(invariant::CONVERGES, why),
        }
    }
    if world.oracle.broken.is_some() {
        world.log_tableau();
    }
    Outcome {
        seed,
        title,
        acknowledged: world.oracle.acknowledged_writes(),
        excused: world.oracle.excused_writes(),
        broken: world.oracle.broken.map(|broken| (broken.invariant, broken.detail)),
        log: world.oracle.lines.iter().map(|(at, line)| format!("{at:>7} {line}")).collect(),
        converged_after,
    }
}
