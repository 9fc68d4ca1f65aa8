//! The switch in a simulated world, in control mode: media and store are stubs, time costs nothing, everything comes from a seed.
//!
//! `SEED=7 cargo test --test sim` runs one world and draws it (`WHOLE=1`: with registrations and pings); `SEEDS=10000` runs more than the usual 1,000.
//! In half of the worlds some calls run scripts of a web server (`app`), and a model (`keys`) says which gather gets which digits.

mod app;
mod books;
mod digest;
mod keys;
mod ladder;
mod legs;
mod media;
mod net;
mod node;
mod party;
mod plan;
mod regressions;
mod sdp;
mod setup;
mod text;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::World;

/// Runs the world of a seed to its rest.
fn run(seed: u64) -> World {
    let mut w = plan::sample(seed);
    w.start();
    w.run_until(plan::end());
    if w.faults.is_empty() {
        for n in 0..w.nodes.len() {
            let pings = w.nodes.iter().map(plan::pings).sum();
            for what in w.nodes[n].check_rest(pings) {
                w.fault("", what);
            }
            w.show_stuck(n);
        }
        w.app_rest();
    }
    w
}

struct Failure {
    seed: u64,
    /// What broke first, in one line.
    what: String,
    report: String,
}

/// What is wrong with this seed; `again` runs it a second time and compares.
fn check(seed: u64, again: bool) -> Result<World, Failure> {
    let w = run(seed);
    if let Some(first) = w.faults.first() {
        let mut report = String::new();
        for f in &w.faults {
            let _ = writeln!(report, "at {:?}, Call-ID {:?}: {}", f.at, f.call_id, f.what);
        }
        report += &w.ladder.draw(&first.call_id);
        return Err(Failure { seed, what: first.what.lines().next().unwrap_or("").to_string(), report });
    }
    if again && run(seed).hash != w.hash {
        let what = "two runs put out different things".to_string();
        return Err(Failure { seed, report: what.clone(), what });
    }
    Ok(w)
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

/// Runs seeds on all cores; failures in order of their seeds, how many events there were, how much was refused by switches that were late,
/// how often a gather told something, and how many digits.
fn check_all(seeds: &[u64]) -> (Vec<Failure>, [u64; 4]) {
    let (next, sums) = (AtomicU64::new(0), [const { AtomicU64::new(0) }; 4]);
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    match check(*seed, seed % 10 == 0) {
                        Ok(w) => {
                            let [gathers, digits] = w.app.gathered;
                            for (sum, n) in sums.iter().zip([w.steps, w.shed(), gathers, digits]) {
                                sum.fetch_add(n, Ordering::Relaxed);
                            }
                        }
                        Err(f) => failures.lock().expect("no panic holds it").push(f),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic held it");
    failures.sort_by_key(|f| f.seed);
    (failures, sums.map(AtomicU64::into_inner))
}

/// Prints the first failure in full and the others by what broke.
fn tell(failures: &[Failure], of: usize) {
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for f in failures {
        let kind: String = f.what.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).take(100).collect();
        kinds.entry(kind).or_default().push(f.seed);
    }
    if let Some(first) = failures.first() {
        eprintln!("seed {}: {}\n{}", first.seed, first.what, first.report);
        for (kind, seeds) in &kinds {
            eprintln!("{:5} × {kind}   e.g. {:?}", seeds.len(), &seeds[..seeds.len().min(6)]);
        }
        let commit = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
        let commit = commit.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).unwrap_or_default();
        panic!(
            "{} of {of} seeds failed at commit {commit}; again: SEED={} cargo test --test sim",
            failures.len(),
            first.seed
        );
    }
}

#[test]
fn every_seed_keeps_the_invariants() {
    let panics = std::panic::take_hook();
    world::hush();
    if let Some(seed) = env("SEED") {
        let mut w = run(seed);
        w.ladder.whole = env("WHOLE").is_some();
        std::panic::set_hook(panics);
        eprintln!("{}", w.ladder.draw(""));
        for f in &w.faults {
            eprintln!("at {:?}, Call-ID {:?}: {}", f.at, f.call_id, f.what);
        }
        assert!(w.faults.is_empty(), "seed {seed} failed");
        return;
    }
    let seeds: Vec<u64> = (1..=env("SEEDS").unwrap_or(1_000)).collect();
    let (failures, [events, shed, gathers, digits]) = check_all(&seeds);
    let (old, _) = check_all(regressions::SEEDS.iter().map(|(seed, _)| *seed).collect::<Vec<_>>().as_slice());
    std::panic::set_hook(panics);
    tell(&failures, seeds.len());
    tell(&old, regressions::SEEDS.len());
    assert!(shed > 0 || seeds.len() < 100, "no world was late");
    assert!(digits > 0 || seeds.len() < 100, "no gather got a digit");
    println!(
        "= {} worlds, {events} events, {shed} requests refused by switches that were late, {gathers} gathers told of {digits} digits",
        seeds.len()
    );
}
