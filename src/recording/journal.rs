//! The journal of one recording: lines beside its file that say what the file holds, each with a checksum.
//!
//! ```text
//! 8f2a01bc begin RE… CA… 1790000000000000 wav 2 8000 -     recording, call, start in µs, format, channels, rate, key; CF… of a conference
//! 19ce77aa segment 0 81918 5d2a9e01 40000                  place, length and CRC-32 in the file; samples up to its end
//! 77b81a2f end 81998 41000 9f86d0…                         length of the file, samples, SHA-256
//! ```
//!
//! Lines after one that does not hold are not read: a write that was cut, or a disk that was full.

use super::crc::Crc;
use crate::base::time::Wall;
use crate::event::{CallId, RecordingId};
use std::fmt::Write as _;
use std::str::FromStr;

/// How a recording is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// PCM of 16 bits.
    #[default]
    Wav,
    /// WAV of G.711 µ-law: half the size.
    Ulaw,
    /// Opus in Ogg.
    Opus,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Wav, Format::Ulaw, Format::Opus];

    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Wav => "wav",
            Format::Ulaw => "ulaw",
            Format::Opus => "opus",
        }
    }

    /// Of files, without the dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Format::Wav | Format::Ulaw => "wav",
            Format::Opus => "opus",
        }
    }
}

impl FromStr for Format {
    type Err = ();
    fn from_str(s: &str) -> Result<Format, ()> {
        Format::ALL.into_iter().find(|f| f.as_str() == s).ok_or(())
    }
}

/// What is known of a recording when it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begin {
    pub id: RecordingId,
    pub call: CallId,
    pub started: Wall,
    pub format: Format,
    pub channels: u8,
    /// Samples a second.
    pub rate: u32,
    /// Name of the key that seals it.
    pub key: Option<String>,
    /// The number of the conference that it is of.
    pub conference: Option<u128>,
}

/// A stretch of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    pub offset: u64,
    pub len: u64,
    pub crc: u32,
    /// Of each channel, up to its end.
    pub samples: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    pub bytes: u64,
    pub samples: u64,
    pub sha256: String,
    /// It ended before it was to: the disk was full or too slow.
    pub is_partial: bool,
}

impl End {
    /// As rows say it.
    pub const fn status(&self) -> &'static str {
        if self.is_partial { "partial" } else { "complete" }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    Begin(Begin),
    Segment(Segment),
    End(End),
}

/// What a journal says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Journal {
    pub begin: Begin,
    pub segments: Vec<Segment>,
    pub end: Option<End>,
    /// It ends with something that does not hold.
    pub is_torn: bool,
}

impl Record {
    /// The line, with its end.
    pub fn line(&self) -> String {
        let mut text = String::new();
        let _ = match self {
            Record::Begin(b) => write!(
                text,
                "begin {} {} {} {} {} {} {}{}",
                b.id,
                b.call,
                b.started.as_micros(),
                b.format.as_str(),
                b.channels,
                b.rate,
                b.key.as_deref().unwrap_or("-"),
                b.conference.map(|sid| format!(" CF{sid:032x}")).unwrap_or_default()
            ),
            Record::Segment(s) => write!(text, "segment {} {} {:08x} {}", s.offset, s.len, s.crc, s.samples),
            Record::End(e) => write!(text, "end {} {} {} {}", e.bytes, e.samples, e.sha256, e.status()),
        };
        format!("{:08x} {text}\n", Crc::of(text.as_bytes()))
    }

    fn parse(line: &str) -> Option<Record> {
        let (crc, text) = line.split_once(' ')?;
        if u32::from_str_radix(crc, 16).ok()? != Crc::of(text.as_bytes()) {
            return None;
        }
        let words: Vec<&str> = text.split(' ').collect();
        Some(match *words.as_slice() {
            ["begin", id, call, started, format, channels, rate, key, ref conference @ ..] => Record::Begin(Begin {
                id: id.parse().ok()?,
                call: call.parse().ok()?,
                started: Wall(started.parse().ok()?),
                format: format.parse().ok()?,
                channels: channels.parse().ok().filter(|c| (1..=2).contains(c))?,
                rate: rate.parse().ok().filter(|r| (8_000..=48_000).contains(r))?,
                key: (key != "-").then(|| key.to_owned()),
                conference: match conference {
                    [] => None,
                    [sid] => Some(u128::from_str_radix(sid.strip_prefix("CF")?, 16).ok()?),
                    _ => return None,
                },
            }),
            ["segment", offset, len, crc, samples] => Record::Segment(Segment {
                offset: offset.parse().ok()?,
                len: len.parse().ok()?,
                crc: u32::from_str_radix(crc, 16).ok()?,
                samples: samples.parse().ok()?,
            }),
            ["end", bytes, samples, sha256, ref status @ ..] => Record::End(End {
                bytes: bytes.parse().ok()?,
                samples: samples.parse().ok()?,
                sha256: sha256.to_owned(),
                // Before it said which, an end was told of as whole.
                is_partial: match status {
                    [] | ["complete"] => false,
                    ["partial"] => true,
                    _ => return None,
                },
            }),
            _ => return None,
        })
    }
}

impl Journal {
    /// Reads up to the first line that does not hold; `None` if not even the first one does.
    pub fn read(bytes: &[u8]) -> Option<Journal> {
        let mut lines = bytes.split_inclusive(|b| *b == b'\n');
        let mut next = || {
            let line = lines.next()?;
            let text = line.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok());
            Some(text.and_then(Record::parse))
        };
        let Some(Some(Record::Begin(begin))) = next() else { return None };
        let mut journal = Journal { begin, segments: Vec::new(), end: None, is_torn: false };
        loop {
            match next() {
                None => return Some(journal),
                Some(Some(Record::Segment(s))) if journal.end.is_none() && s.offset == journal.bytes() => {
                    journal.segments.push(s);
                }
                Some(Some(Record::End(e))) if journal.end.is_none() => journal.end = Some(e),
                Some(_) => {
                    journal.is_torn = true;
                    return Some(journal);
                }
            }
        }
    }

    /// How much of the file the segments tell of.
    pub fn bytes(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.offset.saturating_add(s.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let begin = Begin {
            id: RecordingId(5),
            call: CallId(6),
            started: Wall(1_790_000_000_000_000),
            format: Format::Ulaw,
            channels: 2,
            rate: 8_000,
            key: Some("ab12".into()),
            conference: Some(7),
        };
        vec![
            Record::Begin(begin),
            Record::Segment(Segment { offset: 0, len: 100, crc: 0xdead_beef, samples: 800 }),
            Record::Segment(Segment { offset: 100, len: 50, crc: 1, samples: 1_200 }),
            Record::End(End { bytes: 150, samples: 1_200, sha256: "00ff".into(), is_partial: true }),
        ]
    }

    #[test]
    fn what_is_cut_anywhere_is_read_up_to_there() {
        let lines: Vec<String> = records().iter().map(Record::line).collect();
        let text = lines.concat();
        let whole = Journal::read(text.as_bytes()).unwrap();
        assert_eq!((whole.segments.len(), whole.end.is_some(), whole.is_torn, whole.bytes()), (2, true, false, 150));
        assert_eq!(Record::Begin(whole.begin.clone()), records()[0]);
        for cut in 0..text.len() {
            let complete = text[..cut].matches('\n').count();
            match Journal::read(&text.as_bytes()[..cut]) {
                None => assert_eq!(complete, 0, "{cut}"),
                Some(j) => {
                    assert_eq!(j.segments.len() + usize::from(j.end.is_some()) + 1, complete, "{cut}");
                    assert_eq!(j.is_torn, !text[..cut].ends_with('\n'), "{cut}");
                }
            }
        }
    }

    #[test]
    fn an_altered_line_ends_the_journal() {
        let lines: Vec<String> = records().iter().map(Record::line).collect();
        let bent = lines.concat().replace("segment 100 50", "segment 100 51");
        let journal = Journal::read(bent.as_bytes()).unwrap();
        assert_eq!((journal.segments.len(), journal.end, journal.is_torn), (1, None, true));
        let gap = [&lines[0][..], &lines[2], &lines[3]].concat();
        assert_eq!(Journal::read(gap.as_bytes()).unwrap().segments, []);
    }
}
