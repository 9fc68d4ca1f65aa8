//! Prompts: WAV files, read and brought to 8 kHz mono by a thread of their own, kept for all calls.

use crate::media::music::{HOLD_MUSIC, hold_music};
use crate::media::player::{Prompt, SAMPLE_RATE};
use crate::shell::net::Waker;
use hound::{SampleFormat, WavReader};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// Longest prompt, at 8 kHz: half an hour, 29 MB.
const SAMPLES_MAX: usize = SAMPLE_RATE as usize * 1_800;
/// All prompts kept together, in samples: 256 MB. One beyond is read for each playing.
const KEPT_MAX: usize = 128 << 20;
/// Prompts that wait to be read; a playing beyond ends without sound.
const WAITING_MAX: usize = 1_024;

/// Why a prompt cannot be played, as a sentence with the file's path.
#[derive(Debug)]
pub struct PromptError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for PromptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prompt {}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for PromptError {}

/// Reads a WAV file: PCM of 8, 16, 24 or 32 bits or float, any rate, mono or stereo.
pub fn read(path: &Path) -> Result<Prompt, PromptError> {
    let fault = |why: String| PromptError { path: path.to_path_buf(), why };
    let reader = WavReader::open(path).map_err(|e| fault(said(&e)))?;
    let spec = reader.spec();
    let frames = reader.duration() as u64;
    if frames * u64::from(SAMPLE_RATE) / u64::from(spec.sample_rate.max(1)) > SAMPLES_MAX as u64 {
        return Err(fault(format!("is longer than {} minutes", SAMPLES_MAX / SAMPLE_RATE as usize / 60)));
    }
    let samples = interleaved(reader, spec).map_err(|e| fault(said(&e)))?;
    let mono = to_mono(&samples, usize::from(spec.channels.max(1)));
    let converted = codecs::resample::convert(&mono, spec.sample_rate, SAMPLE_RATE)
        .ok_or_else(|| fault(format!("has {} samples a second, which cannot be converted", spec.sample_rate)))?;
    if converted.is_empty() {
        return Err(fault("is empty".into()));
    }
    Ok(Prompt { samples: converted.into_boxed_slice() })
}

fn said(error: &hound::Error) -> String {
    match error {
        hound::Error::IoError(e) if e.kind() == io::ErrorKind::NotFound => "does not exist".into(),
        hound::Error::IoError(e) => format!("cannot be read: {e}"),
        hound::Error::FormatError(why) => format!("is no WAV file: {why}"),
        hound::Error::Unsupported => "is a WAV file of a form that is not supported; use PCM".into(),
        other => format!("cannot be read: {other}"),
    }
}

/// The samples as they stand in the file, brought to 16 bits.
fn interleaved(mut reader: WavReader<io::BufReader<std::fs::File>>, spec: hound::WavSpec) -> hound::Result<Vec<i16>> {
    match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Float, _) => {
            let scaled = |s: f32| (s * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
            reader.samples::<f32>().map(|s| s.map(scaled)).collect()
        }
        (SampleFormat::Int, bits @ 1..=32) => {
            let scaled = |s: i32| if bits >= 16 { (s >> (bits - 16)) as i16 } else { (s << (16 - bits)) as i16 };
            reader.samples::<i32>().map(|s| s.map(scaled)).collect()
        }
        (SampleFormat::Int, _) => Err(hound::Error::Unsupported),
    }
}

fn to_mono(samples: &[i16], channels: usize) -> Vec<i16> {
    let mean = |frame: &[i16]| (frame.iter().map(|s| i32::from(*s)).sum::<i32>() / channels as i32) as i16;
    samples.chunks_exact(channels).map(mean).collect()
}

#[derive(Debug)]
struct Kept {
    prompt: Arc<Prompt>,
    changed: Option<SystemTime>,
}

/// A prompt that was asked for and has been read, or could not be.
pub type Loaded = (Arc<str>, Option<Arc<Prompt>>);

/// What a look-up finds.
#[derive(Debug, PartialEq)]
pub enum Found {
    Ready(Arc<Prompt>),
    /// It comes by [`Prompts::loaded`].
    Coming,
    /// Too many are waited for.
    Refused,
}

/// All prompts of the process. Cheap to look into; a prompt that is not there is read by the loader thread.
#[derive(Debug)]
pub struct Prompts {
    shelf: Arc<Shelf>,
    wanted: SyncSender<Arc<str>>,
    loaded: Mutex<Receiver<Loaded>>,
    /// Rung when a prompt has been read.
    waker: Waker,
}

#[derive(Debug)]
struct Shelf {
    folder: PathBuf,
    kept: RwLock<HashMap<Arc<str>, Kept>>,
}

impl Prompts {
    /// `folder` is where names that are relative paths lie.
    pub fn new(folder: PathBuf) -> io::Result<Arc<Prompts>> {
        let shelf = Arc::new(Shelf { folder, kept: RwLock::default() });
        let (wanted, names) = sync_channel::<Arc<str>>(WAITING_MAX);
        let (done, loaded) = sync_channel(WAITING_MAX);
        let waker = Waker::new()?;
        let (own, bell) = (shelf.clone(), waker.clone());
        std::thread::Builder::new().name("prompts".into()).spawn(move || {
            for name in names {
                let prompt = own.get(&name).or_else(|| match own.load(&name) {
                    Ok(prompt) => Some(prompt),
                    Err(error) => {
                        tracing::warn!(prompt = &*name, "{error}");
                        None
                    }
                });
                if done.send((name, prompt)).is_err() {
                    return;
                }
                bell.wake();
            }
        })?;
        Ok(Arc::new(Prompts { shelf, wanted, loaded: Mutex::new(loaded), waker }))
    }

    /// Reads prompts that a configuration names, now, and those whose file has changed again; the faults, if any.
    pub fn preload<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<PromptError> {
        let mut faults = Vec::new();
        for name in names {
            let changed = modified(&self.shelf.path(name));
            if changed.is_some() && self.shelf.changed(name) == changed {
                continue;
            }
            if let Err(fault) = self.shelf.load(name) {
                faults.push(fault);
            }
        }
        faults
    }

    /// Looks a prompt up; asks for it if it is not there.
    pub fn find(&self, name: &Arc<str>) -> Found {
        if let Some(prompt) = self.shelf.get(name) {
            return Found::Ready(prompt);
        }
        match self.wanted.try_send(name.clone()) {
            Ok(()) => Found::Coming,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Found::Refused,
        }
    }

    /// The next prompt that has been read since it was asked for.
    pub fn loaded(&self) -> Option<Loaded> {
        self.loaded.lock().ok()?.try_recv().ok()
    }

    /// Rung when [`Prompts::loaded`] has something.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

impl Shelf {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn get(&self, name: &str) -> Option<Arc<Prompt>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).map(|k| k.prompt.clone())
    }

    /// The time of the file that was read; `None` if none was.
    fn changed(&self, name: &str) -> Option<SystemTime> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).and_then(|k| k.changed)
    }

    fn load(&self, name: &str) -> Result<Arc<Prompt>, PromptError> {
        let path = self.path(name);
        let changed = modified(&path);
        let prompt = Arc::new(if name == HOLD_MUSIC { Prompt { samples: hold_music() } } else { read(&path)? });
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let others: usize = kept.iter().filter(|(n, _)| &***n != name).map(|(_, k)| k.prompt.samples.len()).sum();
        if others + prompt.samples.len() <= KEPT_MAX {
            kept.insert(name.into(), Kept { prompt: prompt.clone(), changed });
        }
        Ok(prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::{WavSpec, WavWriter};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("tandem-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        /// A second of 440 Hz at half scale on every channel.
        fn tone(&self, name: &str, rate: u32, channels: u16, bits: u16, format: SampleFormat) -> PathBuf {
            let path = self.0.join(name);
            let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: format };
            let mut writer = WavWriter::create(&path, spec).unwrap();
            for n in 0..rate {
                let s = (std::f64::consts::TAU * 440.0 * f64::from(n) / f64::from(rate)).sin() * 0.5;
                for _ in 0..channels {
                    match format {
                        SampleFormat::Float => writer.write_sample(s as f32).unwrap(),
                        SampleFormat::Int => writer.write_sample((s * f64::from(1u32 << (bits - 1))) as i32).unwrap(),
                    }
                }
            }
            writer.finalize().unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_form_of_pcm_becomes_the_same_sound() {
        let folder = Folder::new("forms");
        use SampleFormat::{Float, Int};
        let rows = [(8_000, 1, 16, Int), (8_000, 1, 8, Int), (16_000, 2, 16, Int), (44_100, 1, 24, Int)];
        for (rate, channels, bits, format) in rows.into_iter().chain([(48_000, 2, 32, Int), (22_050, 1, 32, Float)]) {
            let name = format!("{rate}-{channels}-{bits}.wav");
            let prompt = read(&folder.tone(&name, rate, channels, bits, format)).unwrap();
            assert_eq!(prompt.samples.len(), 8_000, "{name}");
            let step = if bits == 8 { 260 } else { 20 };
            for (n, s) in prompt.samples.iter().enumerate().skip(200).take(7_600) {
                let expected = (std::f64::consts::TAU * 440.0 * n as f64 / 8_000.0).sin() * 16_384.0;
                assert!((f64::from(*s) - expected).abs() < f64::from(step) + 90.0, "{name} {n}: {s} {expected}");
            }
        }
    }

    #[test]
    fn a_prompt_that_cannot_be_played_says_why() {
        let folder = Folder::new("faults");
        std::fs::write(folder.0.join("text.wav"), "hello").unwrap();
        folder.tone("odd.wav", 44_101, 1, 16, SampleFormat::Int);
        let spec = WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        WavWriter::create(folder.0.join("empty.wav"), spec).unwrap().finalize().unwrap();
        let rows = [
            ("missing.wav", "does not exist"),
            ("text.wav", "is no WAV file"),
            ("odd.wav", "44101 samples a second, which cannot be converted"),
            ("empty.wav", "is empty"),
        ];
        for (name, words) in rows {
            let said = read(&folder.0.join(name)).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains(words), "{said}");
        }
    }

    #[test]
    fn prompts_come_from_the_shelf_or_from_the_loader() {
        let folder = Folder::new("shelf");
        folder.tone("a.wav", 8_000, 1, 16, SampleFormat::Int);
        folder.tone("b.wav", 8_000, 1, 16, SampleFormat::Int);
        let prompts = Prompts::new(folder.0.clone()).unwrap();
        let faults = prompts.preload(["a.wav", "none.wav"]);
        assert_eq!(faults.len(), 1);
        assert!(matches!(prompts.find(&"a.wav".into()), Found::Ready(p) if p.samples.len() == 8_000));
        let mut epoll = crate::shell::net::Epoll::new(1).unwrap();
        epoll.add(prompts.waker().fd(), 0).unwrap();
        for (name, there) in [("b.wav", true), ("none.wav", false)] {
            assert_eq!(prompts.find(&name.into()), Found::Coming);
            epoll.wait(Some(std::time::Duration::from_secs(20))).unwrap();
            prompts.waker().clear();
            let (told, prompt) = prompts.loaded().unwrap();
            assert_eq!((&*told, prompt.is_some()), (name, there));
        }
        assert!(matches!(prompts.find(&"b.wav".into()), Found::Ready(_)));
    }
}
