//! A recording's sound as it is given out: both channels or one, whole or a part of it.

use crate::recording::wav::{self, Layout};
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::ops::Range;

/// Both parties of a WAV of two channels on one; `None` if it is no such file.
pub fn mono(file: &[u8]) -> Option<Vec<u8>> {
    let (layout, samples) = wav::read(file)?;
    let (pairs, _) = samples.as_chunks::<2>();
    let mixed: Vec<i16> = pairs.iter().map(|[a, b]| a.saturating_add(*b)).collect();
    let layout = Layout { channels: 1, ..layout };
    let mut out = layout.header(Some(mixed.len() as u64 * u64::from(layout.coding.bytes())));
    layout.encode(&mixed, &mut out);
    Some(out)
}

/// What a Range asks for (RFC 9110 §14.1.2): `None` for all of it, where there is no Range, several, or one that cannot be read.
///
/// # Errors
///
/// Nothing of it is there: 416.
pub fn part(asked: Option<&str>, len: usize) -> Result<Option<Range<usize>>, ()> {
    let Some((first, last)) = asked.and_then(|text| text.trim().strip_prefix("bytes=")?.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| match text {
        "" => Some(None),
        text if text.bytes().all(|b| b.is_ascii_digit()) => Some(Some(text.parse().unwrap_or(usize::MAX))),
        _ => None,
    };
    let (Some(first), Some(last)) = (number(first.trim()), number(last.trim())) else { return Ok(None) };
    match (first, last) {
        (None, None) => Ok(None),
        (Some(first), Some(last)) if last < first => Ok(None),
        (None, Some(0)) => Err(()),
        (None, Some(_)) if len == 0 => Err(()),
        (None, Some(count)) => Ok(Some(len.saturating_sub(count)..len)),
        (Some(first), _) if first >= len => Err(()),
        (Some(first), last) => Ok(Some(first..last.map_or(len, |last| last.saturating_add(1).min(len)))),
    }
}

/// 200 with all of it, 206 with a part, or 416.
pub fn answer(kind: &'static str, file: Vec<u8>, range: Option<&str>) -> Response {
    let (len, file) = (file.len(), Bytes::from(file));
    let common = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    match part(range, len) {
        Ok(None) => (common, file).into_response(),
        Ok(Some(part)) => {
            let told = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            let status = StatusCode::PARTIAL_CONTENT;
            (status, common, [(header::CONTENT_RANGE, told)], file.slice(part)).into_response()
        }
        Err(()) => {
            let told = [(header::CONTENT_RANGE, format!("bytes */{len}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, told).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::wav::Coding;

    #[test]
    fn parts_are_those_that_are_asked_for() {
        let rows = [
            (None, Ok(None)),
            (Some("bytes=0-0"), Ok(Some(0..1))),
            (Some("bytes=2-"), Ok(Some(2..10))),
            (Some("bytes=2-99"), Ok(Some(2..10))),
            (Some("bytes=-3"), Ok(Some(7..10))),
            (Some("bytes=-99999999999999999999999"), Ok(Some(0..10))),
            (Some("bytes=9-18446744073709551615"), Ok(Some(9..10))),
            (Some("bytes=10-"), Err(())),
            (Some("bytes=-0"), Err(())),
            (Some("bytes=3-2"), Ok(None)),
            (Some("bytes=-"), Ok(None)),
            (Some("bytes=0-1,4-5"), Ok(None)),
            (Some("bytes=+1-2"), Ok(None)),
            (Some("lines=0-1"), Ok(None)),
        ];
        for (asked, expected) in rows {
            assert_eq!(part(asked, 10), expected, "{asked:?}");
        }
        assert_eq!((part(Some("bytes=-1"), 0), part(Some("bytes=0-"), 0)), (Err(()), Err(())));
    }

    #[test]
    fn two_channels_become_one() {
        let layout = Layout { coding: Coding::Pcm16, channels: 2, rate: 8_000 };
        let samples = [1, 2, 30_000, 30_000, -5, 5];
        let mut file = layout.header(Some(12));
        layout.encode(&samples, &mut file);
        let (read, mixed) = wav::read(&mono(&file).unwrap()).unwrap();
        assert_eq!((read.channels, mixed), (1, vec![3, i16::MAX, 0]));
        assert!(mono(b"OggS").is_none());
    }
}
