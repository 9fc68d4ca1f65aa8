use super::*;

const CODEC: Codec = Codec::Pcmu;

/// A packet of a row: when it comes in milliseconds, its number, the begin of its sound and its length in milliseconds.
type Row = (u64, u16, i64, u32);

fn packet(sequence: u16, begin_ms: i64, len_ms: u32, payload: &[u8]) -> Packet<'_> {
    Packet {
        ssrc: 1,
        sequence,
        timestamp: (begin_ms * 8) as u32,
        clock_rate: 8_000,
        duration: len_ms * 8,
        codec: Some(CODEC),
        payload,
    }
}

/// Plays a buffer as an ear does: pulls of 20 ms, from 12 ms after its clock's begin on. Delay is never changed.
struct Player {
    jitter: Jitter,
    /// Ticks of sound that wait, and of what: in order.
    queue: Vec<(String, i64)>,
}

impl Player {
    fn new() -> Player {
        Player { jitter: Jitter::new(), queue: Vec::new() }
    }

    fn put(&mut self, (ms, sequence, begin, len): Row) {
        let payload = vec![sequence as u8; len as usize * 8];
        self.jitter.put(Instant::from_micros(ms * 1_000), &packet(sequence, begin, len, &payload));
    }

    /// What sounds in a pull: packets by number, `?` nothing there, `x` lost, `_` a pause; `.` while nothing is to sound.
    fn pull(&mut self, ms: u64) -> String {
        let due = Instant::from_micros(ms * 1_000);
        if !self.jitter.begin(due) {
            self.queue.clear();
            return ".".into();
        }
        let waiting = |queue: &Vec<(String, i64)>| queue.iter().map(|q| q.1).sum::<i64>();
        while waiting(&self.queue) < FRAME {
            let wanted = FRAME - waiting(&self.queue);
            let mut out = [0; 1_500];
            let (name, ticks) = match self.jitter.take(&mut out) {
                Take::Packet { len, skip, sequence, .. } => {
                    assert!(out[..len].iter().all(|b| *b == sequence as u8));
                    (sequence.to_string(), len as i64 * 6 - skip)
                }
                Take::Gap { ticks, lost } => (if lost { "x" } else { "_" }.to_string(), ticks.min(wanted)),
                Take::Empty => ("?".to_string(), wanted),
            };
            if matches!(name.as_str(), "x" | "_" | "?") {
                self.jitter.pass(ticks);
            }
            self.queue.push((name, ticks));
        }
        let mut names = Vec::new();
        let mut wanted = FRAME;
        while wanted > 0 {
            let first = &mut self.queue[0];
            let used = first.1.min(wanted);
            names.push(first.0.clone());
            (first.1, wanted) = (first.1 - used, wanted - used);
            if first.1 == 0 {
                self.queue.remove(0);
            }
        }
        names.dedup();
        self.jitter.done(due, waiting(&self.queue), false);
        names.join("+")
    }
}

/// Packets against what sounds in each pull, at 12, 32, 52 … ms.
#[track_caller]
fn check(rows: &[Row], expected: &str, counts: (u64, u64)) {
    let mut player = Player::new();
    let mut rows = rows.iter().peekable();
    let mut heard = Vec::new();
    for n in 0..expected.split_whitespace().count() as u64 {
        let ms = 12 + n * 20;
        while let Some(row) = rows.next_if(|r| r.0 <= ms) {
            player.put(*row);
        }
        heard.push(player.pull(ms));
    }
    assert_eq!(heard.join(" "), expected);
    assert!(rows.next().is_none(), "a packet after the last pull");
    let counted = player.jitter.counts();
    assert_eq!((counted.late, counted.overflow), counts, "late and skipped");
}

#[test]
fn in_order_with_loss_and_out_of_order() {
    check(&[(0, 1, 0, 20), (20, 2, 20, 20), (40, 3, 40, 20)], "1 2 3 ? ?", (0, 0));
    check(&[(0, 1, 0, 20), (40, 3, 40, 20), (60, 4, 60, 20)], "1 ? 3 4", (0, 0));
    // Two are lost, and seen to be once the one after them is there in time.
    check(&[(0, 1, 0, 20), (20, 2, 20, 20), (21, 4, 60, 20), (80, 5, 80, 20)], "1 2 x 4 5", (0, 0));
    check(&[(0, 1, 0, 20), (20, 3, 40, 20), (21, 2, 20, 20), (60, 4, 60, 20)], "1 2 3 4", (0, 0));
    // The first to come is not the first that was sent.
    check(&[(0, 2, 20, 20), (5, 1, 0, 20), (40, 3, 40, 20)], "1 2 3", (0, 0));
    check(&[(0, 1, 0, 20), (1, 1, 0, 20), (20, 2, 20, 20), (25, 2, 20, 20), (33, 1, 0, 20)], "1 2 ?", (1, 0));
}

#[test]
fn what_comes_late_is_used_as_far_as_it_may_be() {
    check(&[(0, 1, 0, 20), (33, 2, 20, 20), (40, 3, 40, 20)], "1 ? 3", (1, 0));
    check(&[(0, 1, 0, 60), (85, 2, 60, 60), (120, 3, 120, 60)], "1 1 1 ? 2 2 3", (1, 0));
    // A stop of the network, then all at once: what is past is past, and no delay is added.
    let mut rows = vec![(0, 1, 0, 20), (20, 2, 20, 20)];
    rows.extend((3..=13).map(|n| (233, n, i64::from(n) * 20 - 20, 20)));
    rows.extend([(260, 14, 260, 20), (280, 15, 280, 20)]);
    check(&rows, "1 2 ? ? ? ? ? ? ? ? ? ? 13 14 15", (10, 0));
}

#[test]
fn packets_of_any_length_and_changes_of_it() {
    let tens: Vec<Row> = (0..8).map(|n| (n * 10, n as u16, n as i64 * 10, 10)).collect();
    check(&tens, "0+1 2+3 4+5 6+7", (0, 0));
    let thirties: Vec<Row> = (0..4).map(|n| (n * 30, n as u16, n as i64 * 30, 30)).collect();
    check(&thirties, "0 0+1 1 2 2+3 3", (0, 0));
    let sixties: Vec<Row> = (0..2).map(|n| (n * 60, n as u16, n as i64 * 60, 60)).collect();
    check(&sixties, "0 0 0 1 1 1", (0, 0));
    check(&[(0, 1, 0, 20), (20, 2, 20, 10), (30, 3, 30, 10), (40, 4, 40, 40), (80, 5, 80, 20)], "1 2+3 4 4 5", (0, 0));
    check(&[(0, 1, 0, 121), (20, 2, 20, 20)], ". 2 ?", (0, 0));
}

#[test]
fn pauses_are_no_losses_and_jumps_no_pauses() {
    // Silence suppression: the number goes on, the time has passed.
    let paused = [(0, 1, 0, 20), (20, 2, 20, 20), (200, 3, 200, 20), (220, 4, 220, 20)];
    check(&paused, "1 2 ? ? ? ? ? ? ? ? 3 4", (0, 0));
    check(&[(0, 1, 0, 20), (20, 2, 20, 20), (21, 3, 80, 20)], "1 2 _ _ 3", (0, 0));
    // The sequence wraps; the timestamp does, and jumps ahead and back.
    let wrap = i64::from(u32::MAX) / 8 - 19;
    check(&[(0, 65_535, wrap, 20), (20, 0, wrap + 20, 20), (40, 1, wrap + 40, 20)], "65535 0 1", (0, 0));
    let jumps = [(0, 1, 0, 20), (20, 2, 9_000_000, 20), (40, 3, 9_000_020, 20), (60, 4, 500, 20), (80, 5, 520, 20)];
    check(&jumps, "1 2 3 4 5", (0, 0));
}

#[test]
fn the_ceiling_skips_and_an_idle_stream_begins_anew() {
    let burst: Vec<Row> = (0..15).map(|n| (0, n, i64::from(n) * 20, 20)).collect();
    let mut player = Player::new();
    burst.iter().for_each(|row| player.put(*row));
    let heard: Vec<String> = (0..6).map(|n| player.pull(12 + n * 20)).collect();
    assert!(player.jitter.counts().overflow >= 5);
    let first: u16 = heard[0].parse().expect("a packet sounds");
    assert!((14 - first) * 20 <= LATENCY_MAX.as_millis() as u16, "{heard:?}");
    let mut player = Player::new();
    player.put((0, 1, 0, 20));
    let heard: Vec<String> = (0..60).map(|n| player.pull(12 + n * 20)).collect();
    assert_eq!((heard[0].as_str(), heard[1].as_str(), heard[49].as_str(), heard[50].as_str()), ("1", "?", "?", "."));
    assert!(player.jitter.is_idle());
    player.put((5_000, 2, 5_000, 20));
    assert_eq!([player.pull(5_003), player.pull(5_023)], [".", "2"]);
}

/// 20 ms packets whose way is longer by `step_ms` from the 100th on, or whose sender pauses for so long and goes on with the
/// timestamps it stopped at. The longest time without sound after it, and the pulls without sound in the 5 s after that.
fn silence_after(step_ms: u64) -> (u64, usize) {
    let mut player = Player::new();
    let arrival = |n: u64| n * 20 + if n >= 100 { step_ms } else { 0 };
    let (mut next, mut silent, mut longest, mut after) = (0u64, 0u64, 0u64, 0usize);
    for pull in 0..450u64 {
        let ms = 12 + pull * 20;
        while next < 420 && arrival(next) <= ms {
            player.put((arrival(next), next as u16, next as i64 * 20, 20));
            next += 1;
        }
        let heard = player.pull(ms);
        let is_silent = !heard.chars().any(|c| c.is_ascii_digit());
        silent = if is_silent { silent + 20 } else { 0 };
        if ms > 2_000 && next < 420 {
            longest = longest.max(silent);
            after += usize::from(is_silent && ms > 2_000 + step_ms + 400);
        }
    }
    (longest, after)
}

#[test]
fn a_way_that_becomes_longer_is_followed() {
    for step_ms in [60, 120, 160, 250, 400, 900, 1_100, 1_300, 1_500, 3_000] {
        let (longest, after) = silence_after(step_ms);
        assert!(longest <= step_ms + 260, "{step_ms} ms: {longest} ms without sound");
        assert!(after <= 2, "{step_ms} ms: {after} pulls without sound later");
    }
}

#[test]
fn another_source_goes_on_where_the_first_was() {
    let mut player = Player::new();
    let payload = |n: u16| vec![n as u8; 160];
    let mut heard = String::new();
    for n in 0..12u16 {
        let ms = u64::from(n) * 20;
        // Another source from the fifth on, with numbers of its own.
        let (ssrc, sequence, begin) =
            if n < 5 { (1, n, i64::from(n) * 20) } else { (2, n + 900, i64::from(n) * 20 + 77_000) };
        let payload = payload(sequence);
        let packet = Packet { ssrc, ..packet(sequence, begin, 20, &payload) };
        player.jitter.put(Instant::from_micros(ms * 1_000), &packet);
        heard += &player.pull(ms + 12);
        heard.push(' ');
    }
    assert_eq!(heard, "0 1 2 3 4 905 906 907 908 909 910 911 ");
}

#[test]
fn any_packets_are_taken_within_bounds() {
    let mut rng = crate::base::rng::Rng::from_seed(11);
    let mut jitter = Jitter::new();
    for n in 0..10_000u64 {
        let now = Instant::from_micros(n * 7_000);
        let near = n as u16;
        let sequence = if rng.below(4) == 0 { rng.next_u32() as u16 } else { near };
        let timestamp = if rng.below(4) == 0 { rng.next_u32() } else { n as u32 * 56 };
        let len = rng.below(1_500) as usize;
        let codec = [None, Some(Codec::ComfortNoise), Some(CODEC)][rng.below(3) as usize];
        let duration = if codec == Some(CODEC) { rng.below(1_400) as u32 + 1 } else { 0 };
        let clock_rate = [0, 1, 8_000, 48_000, u32::MAX][rng.below(5) as usize];
        let payload = vec![0; len];
        let ssrc = rng.below(3) as u32;
        jitter.put(now, &Packet { ssrc, sequence, timestamp, clock_rate, duration, codec, payload: &payload });
        if n % 3 == 0 && jitter.begin(now) {
            for _ in 0..4 {
                if let Take::Gap { ticks, .. } = jitter.take(&mut [0; 1_500]) {
                    jitter.pass(ticks.min(FRAME));
                }
            }
            jitter.done(now, 0, false);
            assert!(jitter.newest - jitter.play <= FRAME * 10 + DURATION_MAX, "{}", jitter.newest - jitter.play);
        }
    }
}
