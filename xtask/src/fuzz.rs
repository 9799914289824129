//! `cargo xtask fuzz`: damaged and hostile bytes against everything that reads files.
//!
//! Mutations of small valid files, on the stable toolchain: no coverage guides them. An input is a finding
//! when its reader panics, takes longer than [`SLOWEST`], or makes the process grow past [`MEMORY`]. Every
//! input is on disk while it is read: one that ends the process, or hangs until a watchdog does, stays there.

mod seeds;
mod targets;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{say, target};
use targets::Target;

/// Longest that one input may take: the largest picture that the memory limit allows is far below.
const SLOWEST: Duration = Duration::from_secs(10);

/// Seconds after which an input hangs.
const HANGS: u64 = 60;

/// Most memory of the whole process: the readers' own limit (64 MiB) with room for what lies around it.
const MEMORY: u64 = 512 << 20;

/// `fuzz [--seconds N] [--seed N] [TARGET…]`
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let (mut seconds, mut seed, mut names) = (60, 0, Vec::new());
    let mut rest = arguments.iter().map(|it| it.to_string_lossy());
    while let Some(argument) = rest.next() {
        let mut number = || rest.next().and_then(|it| it.parse().ok()).context("expected a number");
        match argument.as_ref() {
            "--seconds" => seconds = number()?,
            "--seed" => seed = number()?,
            name if !name.starts_with('-') => names.push(name.to_owned()),
            other => bail!("no option `{other}`; expected --seconds N, --seed N, names of targets"),
        }
    }
    let known = Target::all()?;
    for name in &names {
        let all: Vec<&str> = known.iter().map(|it| it.name).collect();
        ensure!(all.contains(&name.as_str()), "no target `{name}`; there are: {}", all.join(", "));
    }
    let chosen: Vec<Target> =
        known.into_iter().filter(|it| names.is_empty() || names.iter().any(|name| name == it.name)).collect();
    let mut n_findings = 0;
    for mut target in chosen {
        let until = Instant::now() + Duration::from_secs(seconds);
        let (n_inputs, findings) = attack(&mut target, seed, &mut |_| Instant::now() < until)?;
        say(&format!("{}: {n_inputs} inputs, {} findings", target.name, findings.len()));
        n_findings += findings.len();
    }
    ensure!(n_findings == 0, "{n_findings} inputs are in {}", folder().display());
    Ok(())
}

fn folder() -> std::path::PathBuf {
    target().join("fuzz")
}

/// Feeds mutations to a target while `goes_on` says so of their count; inputs it should have survived are
/// written to `target/fuzz`.
fn attack(
    target: &mut Target,
    seed: u64,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<(u64, Vec<Vec<u8>>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut n_inputs, mut findings) = (0, Vec::new());
    // Panics are counted, not printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    fs::create_dir_all(folder())?;
    let running = folder().join(format!("{}-running-{}", target.name, std::process::id()));
    let mut file = File::create(&running)?;
    let mut peak = headstart::peak_memory_bytes();
    let watchdog = Watchdog::start(format!("{} hangs on {}", target.name, running.display()));
    while goes_on(n_inputs) && findings.len() < 10 {
        let input = mutate(&target.seeds, &mut rng);
        file.rewind()?;
        file.write_all(&input)?;
        file.set_len(u64::try_from(input.len())?)?;
        watchdog.begin();
        let start = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| (target.read)(&input))).is_ok();
        let peak_before = std::mem::replace(&mut peak, headstart::peak_memory_bytes());
        let reason = match () {
            () if !survived => "panics",
            () if start.elapsed() > SLOWEST => "takes too long",
            // The peak is the process's: what an earlier input took does not count again.
            () if peak > peak_before && peak > Some(MEMORY) => "takes too much memory",
            () => "",
        };
        if !reason.is_empty() {
            let path = folder().join(format!("{}-{}", target.name, &blake3::hash(&input).to_hex()[..16]));
            fs::copy(&running, &path)?;
            say(&format!("{} {reason} on {}", target.name, path.display()));
            findings.push(input);
        }
        n_inputs += 1;
    }
    drop(watchdog);
    std::panic::set_hook(hook);
    fs::remove_file(&running).ok();
    Ok((n_inputs, findings))
}

/// Ends the process when one input takes much too long: its reader would never come back.
struct Watchdog {
    /// Seconds since [`Self::begin`] was last called; at [`HANGS`] it is over.
    seconds: Arc<AtomicU64>,
}

impl Watchdog {
    fn start(message: String) -> Self {
        let seconds = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&seconds);
        std::thread::spawn(move || {
            while let Some(seconds) = watched.upgrade() {
                if seconds.fetch_add(1, Ordering::Relaxed) >= HANGS {
                    say(&message);
                    std::process::abort();
                }
                drop(seconds);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { seconds }
    }

    fn begin(&self) {
        self.seconds.store(0, Ordering::Relaxed);
    }
}

/// A few changes to one of the seeds.
fn mutate(seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..=6) {
        if input.is_empty() {
            break;
        }
        let at = rng.random_range(0..input.len());
        let length = rng.random_range(1..=16.min(input.len() - at));
        match rng.random_range(0..8) {
            0 => input[at] ^= 1 << rng.random_range(0..8),
            1 => input[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            // Lengths and sizes are numbers of 2, 4 or 8 bytes: extreme ones.
            2 => input[at..at + length].fill([0, 0xff][rng.random_range(0..2)]),
            3 => input[at..at + length].iter_mut().for_each(|it| *it = rng.random_range(0..=255)),
            4 => drop(input.drain(at..at + length)),
            5 => {
                let copy = input[at..at + length].to_vec();
                let to = rng.random_range(0..=input.len());
                drop(input.splice(to..to, copy));
            }
            6 => input.truncate(at),
            _ => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short attack on every target, the same in every run; `cargo xtask fuzz` goes on for longer.
    #[test]
    fn readers_survive_damaged_and_hostile_bytes() {
        let mut n_targets = 0;
        for mut target in Target::all().expect("targets") {
            // The seeds themselves read: mutations of what is refused at once would find nothing.
            for seed in target.seeds.clone() {
                assert!((target.read)(&seed), "{}: a seed does not read", target.name);
            }
            let n = target.n_in_test;
            let (n_inputs, findings) = attack(&mut target, 1, &mut |done| done < n).expect("it runs");
            assert_eq!((n_inputs, findings.len()), (n, 0), "{}", target.name);
            n_targets += 1;
        }
        assert_eq!(n_targets, 7);
        // Not a test of its own: it takes memory, and there is one peak for all.
        a_reader_that_panics_or_grows_is_a_finding_once();
    }

    /// What a reader must not do is found, and the input that made it do so is kept.
    fn a_reader_that_panics_or_grows_is_a_finding_once() {
        let name: &'static str = format!("bad-reader-{}", std::process::id()).leak();
        let mut n_read = 0;
        let read = move |_: &[u8]| {
            n_read += 1;
            assert_ne!(n_read, 3, "the third input is one too many");
            if n_read == 5 {
                // Touched, or it takes no memory.
                std::hint::black_box(vec![1_u8; usize::try_from(MEMORY).unwrap_or(usize::MAX)]);
            }
            true
        };
        let mut target = Target { name, seeds: vec![(0..64).collect()], n_in_test: 0, read: Box::new(read) };
        let (n_inputs, findings) = attack(&mut target, 1, &mut |done| done < 9).expect("it runs");
        assert_eq!((n_inputs, findings.len()), (9, 2));
        for finding in findings {
            let kept = folder().join(format!("{name}-{}", &blake3::hash(&finding).to_hex()[..16]));
            assert_eq!(fs::read(&kept).expect("kept"), finding);
            fs::remove_file(kept).ok();
        }
        let left = fs::read_dir(folder()).expect("a folder").filter_map(Result::ok);
        assert_eq!(left.filter(|it| it.file_name().to_string_lossy().starts_with(name)).count(), 0);
    }
}
