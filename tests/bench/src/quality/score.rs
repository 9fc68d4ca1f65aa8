//! How near what was heard is to what was sent.

use interop::scratch::{Scratch, top};
use interop::sound::write_wav;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Frames of 20 ms; quieter ones than −45 dBov say nothing.
const FRAME: usize = 160;
const QUIET: f64 = 184.0;
/// Each frame counts from −10 to 35 dB.
const RANGE_DB: (f64, f64) = (-10.0, 35.0);
/// A piece of half a second is looked for within 100 ms of where the one before was.
const PIECE: usize = 25 * FRAME;
const SLACK: usize = 800;

/// Mean over the frames that sound and are `counted`. What was heard may lie later, and move by what a jitter buffer does.
pub fn segmental_snr_db(wanted: &[i16], heard: &[i16], counted: impl Fn(usize) -> bool) -> f64 {
    let (mut sum, mut frames) = (0.0, 0);
    let mut offset = 0i64;
    for (n, piece) in wanted.chunks(PIECE).enumerate() {
        if loudness(piece) > QUIET {
            offset = place(piece, heard, (n * PIECE) as i64, offset);
        }
        for (k, frame) in piece.chunks_exact(FRAME).enumerate().filter(|(_, frame)| loudness(frame) > QUIET) {
            if !counted(n * PIECE / FRAME + k) {
                continue;
            }
            let from = (n * PIECE + k * FRAME) as i64 + offset;
            let got =
                |i: usize| usize::try_from(from + i as i64).ok().and_then(|at| heard.get(at)).copied().unwrap_or(0);
            let noise: f64 = frame.iter().enumerate().map(|(i, s)| (f64::from(*s) - f64::from(got(i))).powi(2)).sum();
            let signal: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
            sum += (10.0 * (signal / noise.max(1e-3)).log10()).clamp(RANGE_DB.0, RANGE_DB.1);
            frames += 1;
        }
    }
    sum / f64::from(frames.max(1))
}

fn loudness(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

/// By how much later a piece that begins at `at` is heard; near `around`, if the likeness does not say otherwise.
fn place(piece: &[i16], heard: &[i16], at: i64, around: i64) -> i64 {
    let slack = SLACK as i64;
    let likeness = |offset: i64| {
        let start = usize::try_from(at + offset).ok()?;
        let window = heard.get(start..(start + piece.len()).min(heard.len()))?;
        let energy: f64 = window.iter().map(|s| f64::from(*s).powi(2)).sum();
        let product: f64 = piece.iter().zip(window).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        Some(product / energy.max(1.0).sqrt())
    };
    let lags = (around - slack..=around + slack).filter_map(|lag| Some((likeness(lag)?, lag)));
    lags.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(around, |b| b.1)
}

/// A Python that has `pesq`, installed under target/ where it is not there yet. `None`, and a line that says so, where that
/// fails: the rest is measured.
pub fn python() -> Option<PathBuf> {
    let folder = top().join("target/pesq");
    let python = folder.join("bin/python");
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|done| done.status.success())
    };
    let has_pesq = || run(&python, &["-c", "import pesq"]);
    if has_pesq() {
        return Some(python);
    }
    let made = run(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()])
        && run(&python, &["-m", "pip", "install", "-q", "numpy", "pesq==0.0.4"]);
    if made && has_pesq() {
        return Some(python);
    }
    crate::say("pesq", "not installed (python3-venv, a C compiler and PyPI are needed): no PESQ in this run");
    None
}

const SCRIPT: &str = "import sys, wave, numpy, pesq\n\
    read = lambda path: numpy.frombuffer(wave.open(path).readframes(1 << 30), dtype=numpy.int16)\n\
    print(pesq.pesq(8000, read(sys.argv[1]), read(sys.argv[2]), 'nb'))\n";

/// MOS-LQO of P.862.1, 1.0 to 4.5.
pub fn pesq(scratch: &Scratch, python: &Path, spoken: &[i16], heard: &[i16]) -> f64 {
    let files = [scratch.path().join("spoken.wav"), scratch.path().join("heard.wav")];
    write_wav(&files[0], spoken);
    write_wav(&files[1], heard);
    let done = Command::new(python).args(["-c", SCRIPT]).args(&files).output().expect("Python starts");
    let text = String::from_utf8_lossy(&done.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("PESQ: {text}{}", String::from_utf8_lossy(&done.stderr)))
}
