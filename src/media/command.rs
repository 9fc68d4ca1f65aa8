//! What the switch asks of the media threads and what they tell it: desired state down, facts up.

mod digits;
mod room;

pub use digits::{DIGIT_MS, DIGITS_MAX, Method, Press, Tones};
pub use room::{Listens, MEMBERS_MAX, Member, ONLY_MAX, RoomId, RoomSound, RoomState, Says, Sounding, UNITY_Q12};

use crate::base::time::Duration;
use crate::event::Quality;
use crate::rtp::srtp::Keys;
use std::net::SocketAddr;
use std::sync::Arc;

/// One media leg: an RTP/RTCP port pair and what is behind it. Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LegId(pub u64);

/// One playing of a prompt or tone, so that its end can be told from an earlier one's. Numbered by the switch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PlayId(pub u64);

/// One listening-in at one leg. Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TapId(pub u64);

/// Codecs that a leg can send and receive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Codec {
    Pcmu,
    Pcma,
    /// Its RTP clock says 8 kHz; it samples at 16 (RFC 3551 §4.5.2).
    G722,
    /// RFC 7587.
    Opus,
    /// RFC 3389: how the silence of a narrow-band codec sounds.
    ComfortNoise,
    /// Relayed only: both legs must have it.
    Opaque {
        clock_rate: u32,
    },
}

/// A codec under the payload type that the session description gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    pub codec: Codec,
    pub payload_type: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

/// What the owner of a leg hears.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Hears {
    /// No packets are sent.
    #[default]
    Nothing,
    /// Packets of silence, which keep a NAT open and a peer's timeout quiet.
    Silence,
    /// What the other leg says: relayed if the codecs agree, else transcoded.
    Leg(LegId),
    /// What the leg itself says.
    Echo,
    /// What the room has for it as a member; silence while it is none.
    Room(RoomId),
    /// A prompt by its file name as the dialplan gives it; the shell has it loaded.
    Play { id: PlayId, file: Arc<str>, loops: u32 },
    /// A tone of a country ("us", "de", …) until `duration`, or for ever.
    Tone { id: PlayId, tone: Tone, country: Arc<str>, duration: Option<Duration> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    Ringback,
    Busy,
    Congestion,
    Dial,
    /// Special information tone: "the number you have dialled …".
    Information,
    /// Before a message is recorded.
    Beep,
}

/// What a peer's description says of the Opus that it takes (RFC 7587 §6.1). Mono is what we send, whatever `stereo` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpusWanted {
    /// `maxplaybackrate` in Hz and `maxaveragebitrate` in bits a second; 0: nothing is said.
    pub playback_hz: u32,
    pub bitrate_max: u32,
    /// `useinbandfec`: the peer reads what we repeat.
    pub fec: bool,
    /// `usedtx`: pauses need not be sent.
    pub dtx: bool,
    /// `cbr`.
    pub constant: bool,
}

impl Default for OpusWanted {
    fn default() -> OpusWanted {
        OpusWanted { playback_hz: 0, bitrate_max: 0, fec: true, dtx: false, constant: false }
    }
}

/// The desired state of one leg, whole: the shard makes it so.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LegState {
    /// Where RTP goes by the session description; `None` while nothing is negotiated.
    pub remote_rtp: Option<SocketAddr>,
    /// `None`: RTP's port + 1.
    pub remote_rtcp: Option<SocketAddr>,
    /// What we send.
    pub send: Option<Format>,
    /// What may come; other payload types are counted and dropped. At most 8 are used.
    pub receive: Vec<Format>,
    /// Payload type of telephone-event (RFC 4733) towards the peer and from it.
    pub dtmf_send: Option<u8>,
    pub dtmf_receive: Option<u8>,
    /// Clock of telephone-event in Hz; 0 is that of the media.
    pub dtmf_clock: u32,
    pub tones: Tones,
    /// Milliseconds of sound per packet that we make ourselves, 10 to 60.
    pub ptime_ms: u8,
    /// Of the Opus that we make ourselves.
    pub opus: OpusWanted,
    /// Directions as negotiated, from our side: `sending` false sends no RTP, `receiving` false drops what comes.
    pub sending: bool,
    pub receiving: bool,
    /// Take the source of the first packet that parses as RTP of a known payload type as the remote address (symmetric RTP),
    /// and refuse other sources later. A changed `remote_rtp` opens the latch again.
    pub latch: bool,
    pub hears: Hears,
    /// Copies both tracks to whoever takes the taps: a recorder.
    pub tap: Option<TapId>,
    /// Copies what the leg's owner says to whoever listens to it: a recogniser of speech.
    pub listener: Option<TapId>,
    /// Silence of the peer after which `Event::Timeout` is told, once; `None` never. Counted only while `receiving`.
    pub rtp_timeout: Option<Duration>,
    /// No RTP but datagrams (T.38's UDPTL): what comes is passed on as it is to whoever hears this leg and is set so too.
    pub datagrams: bool,
    /// Keys of SRTP and SRTCP; without them packets are plain.
    pub srtp: Option<Box<Keys>>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Take a port pair. Legs with one `group` live on one shard. Answered by `Opened` or `OpenFailed`.
    Open { leg: LegId, group: u64, family: Family },
    /// Boxed: it is moved by ring and freed by the control thread's side.
    Set { leg: LegId, state: Box<LegState> },
    /// A room as it is to be, on the shard of `group`, whose legs its members are; without members it is no more.
    Room { room: RoomId, group: u64, state: Box<RoomState> },
    /// Digits to send to the leg's peer, after those that it still sends: as RFC 4733 where `dtmf_send` is set, else as tones. At
    /// most [`DIGITS_MAX`] wait; further ones are dropped. What the leg else hears is held back meanwhile.
    Digits { leg: LegId, digits: Box<[Press]> },
    /// Answered by `Closed` with the leg's whole account, exactly once, also for a leg that never opened.
    Close { leg: LegId },
}

#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// `rtp` is the address to put into session descriptions (towards peers on this side of a NAT); RTCP is its port + 1.
    Opened {
        leg: LegId,
        rtp: SocketAddr,
    },
    /// No port is free, or the world refused it: 503.
    OpenFailed {
        leg: LegId,
        why: &'static str,
    },
    /// A prompt or a tone came to its end, or could not be played (`played` false).
    PlayEnded {
        leg: LegId,
        id: PlayId,
        played: bool,
    },
    /// First packet from the peer, or a new latched source.
    Latched {
        leg: LegId,
        source: SocketAddr,
    },
    /// A foreign source was refused (told once a leg; all are counted).
    Refused {
        leg: LegId,
        source: SocketAddr,
    },
    /// A packet that is not protected by the peer's key, or was before, was refused (told once a leg; all are counted).
    Unprotected {
        leg: LegId,
        source: SocketAddr,
    },
    /// One whole digit (0-9, *, #, A-D) that has come to its end, once, whatever the retransmissions.
    Digit {
        leg: LegId,
        digit: char,
        duration_ms: u32,
        method: Method,
    },
    /// Somebody else has the floor of a room now, or nobody.
    Speaker {
        room: RoomId,
        leg: Option<LegId>,
    },
    /// A room's announcement came to its end, or could not be played (`played` false).
    RoomPlayEnded {
        room: RoomId,
        id: PlayId,
        played: bool,
    },
    /// Nothing has come for 5 s from a peer that is to speak, and that silence of `rtp_timeout` would end: the call may have audio
    /// one way only. Told once a silence.
    Unheard {
        leg: LegId,
    },
    /// Nothing came for `rtp_timeout`.
    Timeout {
        leg: LegId,
    },
    Closed {
        leg: LegId,
        quality: Box<Quality>,
    },
}

impl Event {
    /// The leg that it is about; `None` of a room.
    pub const fn leg(&self) -> Option<LegId> {
        match self {
            Event::Speaker { .. } | Event::RoomPlayEnded { .. } => None,
            Event::Opened { leg, .. }
            | Event::OpenFailed { leg, .. }
            | Event::PlayEnded { leg, .. }
            | Event::Latched { leg, .. }
            | Event::Refused { leg, .. }
            | Event::Unprotected { leg, .. }
            | Event::Digit { leg, .. }
            | Event::Unheard { leg }
            | Event::Timeout { leg }
            | Event::Closed { leg, .. } => Some(*leg),
        }
    }
}
