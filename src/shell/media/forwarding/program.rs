//! The program that the kernel runs for each packet that an interface brings (attached before IP, "tc ingress"): if it is exactly the
//! packet that an [`Entry`](super::entry::Entry) waits for, it is rewritten and sent on; whatever else goes its ordinary way.
//!
//! Or it is put into the entry's box ([`super::mailbox`]), if the entry has one.
//!
//! A packet is claimed by counting it, at once for all processors and only while the entry is in force: what is not claimed comes to
//! the media thread, what is claimed never does.

use super::assembler::{Assembler, If, Op, Reg, Width};
use super::mailbox::{LETTER_MAX, LETTERS};

/// What the program is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Descriptor of the array of entries.
    pub map: i32,
    /// Of the array of boxes.
    pub boxes: i32,
    /// The even port of the first entry, and how many entries there are.
    pub first_port: u16,
    pub entries: u32,
    /// The number of the interface "lo".
    pub loopback: u32,
}

/// Answers of the program: somebody else may look; the packet is done with; as given to `redirect`.
pub const NEXT: i32 = -1;
pub const DONE: i32 = 2;
#[cfg(test)]
pub const REDIRECT: u32 = 7;

/// Functions of the kernel.
const MAP_LOOKUP: i32 = 1;
const TIME_NS: i32 = 5;
const REPLACE_IP_SUM: i32 = 10;
const REPLACE_UDP_SUM: i32 = 11;
const TO_INTERFACE: i32 = 23;
const LOAD_BYTES: i32 = 26;
const SUM_DIFFERENCE: i32 = 28;
const TO_NEIGHBOUR: i32 = 152;

/// `struct __sk_buff`.
const SKB_LEN: i16 = 0;
const SKB_VLAN: i16 = 20;
const SKB_INTERFACE: i16 = 40;
const SKB_DATA: i16 = 76;
const SKB_DATA_END: i16 = 80;
const SKB_SEGMENTS: i16 = 176;

/// The packet: Ethernet (14 bytes), IPv4 without options (20), UDP (8), RTP (12).
const ETHER_TYPE: i16 = 12;
const IP: i16 = 14;
const IP_LENGTH: i16 = 16;
const IP_FRAGMENT: i16 = 20;
const IP_TTL: i16 = 22;
const IP_PROTOCOL: i16 = 23;
const IP_SUM: i32 = 24;
const IP_SOURCE: i16 = 26;
const IP_TARGET: i16 = 30;
const UDP_PORTS: i16 = 34;
const UDP_TARGET: i16 = 36;
const UDP_LENGTH: i16 = 38;
const UDP_SUM: i32 = 40;
const RTP: i16 = 42;
const RTP_SEQUENCE: i16 = 44;
const RTP_TIMESTAMP: i16 = 46;
const RTP_SSRC: i16 = 50;
const HEADERS: i32 = 54;
/// UDP's and RTP's.
const OVERHEAD: i32 = 20;
const RTP_HEADER: i32 = 12;
/// A time to live of 64 and UDP's number, as they stand in a packet.
const TTL_AND_UDP: i32 = 0x1140;

/// [`Entry`](super::entry::Entry).
mod entry {
    pub const SOURCE_IP: i16 = 0;
    pub const LOCAL_IP: i16 = 4;
    pub const SOURCE_PORT: i16 = 8;
    pub const MAILBOX: i16 = 10;
    pub const HEAD: i16 = 12;
    pub const SSRC: i16 = 16;
    pub const TIMESTAMP: i16 = 20;
    pub const STEP: i16 = 24;
    pub const SEQUENCE: i16 = 28;
    pub const SEQUENCE_ADDED: i16 = 30;
    pub const TIMESTAMP_ADDED: i16 = 32;
    pub const NEW_SOURCE: i16 = 36;
    pub const NEW_TARGET: i16 = 40;
    pub const NEW_PORTS: i16 = 44;
    pub const NEW_HEAD: i16 = 48;
    pub const NEW_SSRC: i16 = 52;
    pub const INTERFACE: i16 = 56;
    pub const CLASS: i16 = 60;
    pub const STATE: i16 = 64;
    pub const OCTETS: i16 = 72;
    pub const ARRIVED: i16 = 80;
    pub const SUM: i16 = 88;
    pub const ESTIMATE: i16 = 96;
    pub const MAX: i16 = 100;
    pub const STEP_US: i16 = 104;
    pub const MEASURED: i16 = 108;
}

/// [`Mailbox`](super::mailbox::Mailbox), and one of its letters from the beginning of the box of the first.
mod mailbox {
    pub const TAKEN: i16 = 0;
    pub const READY: i16 = 64;
    pub const LENGTH: i16 = 68;
    pub const SUM: i16 = 70;
    pub const TARGET: i16 = 72;
    pub const ARRIVED: i16 = 80;
    pub const BYTES: i16 = 88;
    /// A letter has 256 bytes.
    pub const SHIFT: i32 = 8;
}

/// The frame: what is claimed now, and the headers before and after in the order in which sums are taken.
mod frame {
    pub const INDEX: i16 = -4;
    pub const INTERFACE: i16 = -8;
    pub const OCTETS: i16 = -16;
    /// IP: version to length, TTL and protocol, source, target.
    pub const OLD_IP: i16 = -32;
    pub const NEW_IP: i16 = -48;
    /// Ports and RTP's header.
    pub const OLD_UDP: i16 = -64;
    pub const NEW_UDP: i16 = -80;
    /// The box.
    pub const MAILBOX: i16 = -88;
}

/// Where the addresses stand among the sixteen bytes of IP.
const ADDRESSES: i16 = 8;
/// Bits of `l4_csum_replace`: the pseudo-header, too; a sum of zero means none.
const PSEUDO: i32 = 0x10;
const KEEP_ZERO: i32 = 0x20;
/// A difference of more than a second is a jump of the clock, not jitter.
const JITTER_MAX_US: i32 = 1_000_000;

const R0: Reg = Reg(0);
const R1: Reg = Reg(1);
const R2: Reg = Reg(2);
const R3: Reg = Reg(3);
const R4: Reg = Reg(4);
const R5: Reg = Reg(5);
/// The kernel's view of the packet, its bytes, the entry and the entry's state.
const SKB: Reg = Reg(6);
const PACKET: Reg = Reg(7);
const ENTRY: Reg = Reg(8);
const STATE: Reg = Reg(9);
const FRAME: Reg = Reg(10);
/// In place of the entry, once that is claimed.
const LETTER: Reg = ENTRY;

/// The program, as the kernel loads it. `None` is a bug in it.
pub fn program(setup: Setup) -> Option<Vec<[u8; 8]>> {
    let mut a = Assembler::default();
    check_headers(&mut a);
    find_entry(&mut a, setup);
    check_peer(&mut a);
    check_length(&mut a);
    check_way(&mut a, setup);
    a.load(Width::Half, R2, ENTRY, entry::MAILBOX);
    a.jump_if(If::NotEqual, R2, 0, "collect");
    check_stream(&mut a);
    foresee_ip(&mut a);
    foresee_rtp(&mut a);
    claim(&mut a);
    measure(&mut a);
    rewrite(&mut a);
    correct_sums(&mut a);
    send(&mut a, setup);
    a.label("collect");
    find_box(&mut a, setup);
    claim(&mut a);
    put(&mut a);
    a.label("pass");
    a.op(Op::Mov, R0, NEXT);
    a.exit();
    a.finish()
}

/// IPv4 in Ethernet, whole, without options; UDP; room for RTP.
fn check_headers(a: &mut Assembler) {
    a.op(Op::Mov, SKB, R1);
    for field in [SKB_VLAN, SKB_SEGMENTS] {
        a.load(Width::Word, R2, SKB, field);
        a.jump_if(If::NotEqual, R2, 0, "pass");
    }
    a.load(Width::Word, PACKET, SKB, SKB_DATA);
    a.load(Width::Word, R3, SKB, SKB_DATA_END);
    a.op(Op::Mov, R2, PACKET);
    a.op(Op::Add, R2, HEADERS);
    a.jump_if(If::Above, R2, R3, "pass");
    for (width, field, expected) in
        [(Width::Half, ETHER_TYPE, 0x0008), (Width::Byte, IP, 0x45), (Width::Byte, IP_PROTOCOL, 17)]
    {
        a.load(width, R2, PACKET, field);
        a.jump_if(If::NotEqual, R2, expected, "pass");
    }
    a.load(Width::Half, R2, PACKET, IP_FRAGMENT);
    // More fragments, or not the first, in the network's order.
    a.jump_if(If::AnyOf, R2, 0xff3f, "pass");
}

/// The entry of the port, if it is one of ours and in force.
fn find_entry(a: &mut Assembler, setup: Setup) {
    a.load(Width::Half, R2, PACKET, UDP_TARGET);
    a.swap(R2, 16);
    a.jump_if(If::AnyOf, R2, 1, "pass");
    a.op(Op::Sub, R2, i32::from(setup.first_port));
    a.op(Op::Rsh, R2, 1);
    // Below the first port it has become very large.
    a.jump_if(If::AtLeast, R2, setup.entries as i32, "pass");
    a.store(Width::Word, FRAME, frame::INDEX, R2);
    a.map(R1, setup.map);
    a.op(Op::Mov, R2, FRAME);
    a.op(Op::Add, R2, i32::from(frame::INDEX));
    a.call(MAP_LOOKUP);
    a.jump_if(If::Equal, R0, 0, "pass");
    a.op(Op::Mov, ENTRY, R0);
    a.load(Width::Double, STATE, ENTRY, entry::STATE);
    a.jump_if(If::NotNegative, STATE, 0, "pass");
}

/// From its peer, to where the peer sends.
fn check_peer(a: &mut Assembler) {
    a.load(Width::Word, R3, ENTRY, entry::LOCAL_IP);
    a.jump_if(If::Equal, R3, 0, "any address");
    a.load(Width::Word, R2, PACKET, IP_TARGET);
    a.jump_if(If::NotEqual, R2, R3, "pass");
    a.label("any address");
    check_same(a, [(Width::Word, IP_SOURCE, entry::SOURCE_IP), (Width::Half, UDP_PORTS, entry::SOURCE_PORT)]);
}

/// Fields of the packet are the entry's.
fn check_same(a: &mut Assembler, fields: [(Width, i16, i16); 2]) {
    for (width, field, known) in fields {
        a.load(width, R2, PACKET, field);
        a.load(width, R3, ENTRY, known);
        a.jump_if(If::NotEqual, R2, R3, "pass");
    }
}

/// Its source and codec; a plain header without marker.
fn check_stream(a: &mut Assembler) {
    check_same(a, [(Width::Half, RTP, entry::HEAD), (Width::Word, RTP_SSRC, entry::SSRC)]);
}

/// How long the sound is, if the packet is whole.
fn check_length(a: &mut Assembler) {
    // UDP's length is the rest of IP's, and all of it is there.
    a.load(Width::Half, R2, PACKET, UDP_LENGTH);
    a.swap(R2, 16);
    a.jump_if(If::Below, R2, OVERHEAD, "pass");
    a.load(Width::Half, R3, PACKET, IP_LENGTH);
    a.swap(R3, 16);
    a.op(Op::Sub, R3, 20);
    a.jump_if(If::NotEqual, R2, R3, "pass");
    a.load(Width::Word, R4, SKB, SKB_LEN);
    a.op(Op::Add, R3, i32::from(UDP_PORTS));
    a.jump_if(If::Above, R3, R4, "pass");
    a.op(Op::Sub, R2, OVERHEAD);
    a.store(Width::Double, FRAME, frame::OCTETS, R2);
}

/// A peer on this machine is reached only from this machine: to what came from outside, the kernel finds our own address as the source
/// wrong.
fn check_way(a: &mut Assembler, setup: Setup) {
    a.load(Width::Word, R2, ENTRY, entry::INTERFACE);
    a.store(Width::Word, FRAME, frame::INTERFACE, R2);
    a.jump_if(If::NotEqual, R2, 0, "leaves");
    a.load(Width::Word, R2, SKB, SKB_INTERFACE);
    a.jump_if(If::NotEqual, R2, setup.loopback as i32, "pass");
    a.label("leaves");
}

/// IP's header before and after, as far as it changes.
fn foresee_ip(a: &mut Assembler) {
    a.load(Width::Word, R2, PACKET, IP);
    a.store(Width::Word, FRAME, frame::OLD_IP, R2);
    a.op(Op::And, R2, 0xffff_00ff_u32 as i32);
    a.load(Width::Word, R3, ENTRY, entry::CLASS);
    a.op(Op::Lsh, R3, 8);
    a.op(Op::Or, R2, R3);
    a.store(Width::Word, FRAME, frame::NEW_IP, R2);
    a.load(Width::Half, R2, PACKET, IP_TTL);
    a.store(Width::Word, FRAME, frame::OLD_IP + 4, R2);
    a.store(Width::Word, FRAME, frame::NEW_IP + 4, TTL_AND_UDP);
    for (at, old, new) in [(8, IP_SOURCE, entry::NEW_SOURCE), (12, IP_TARGET, entry::NEW_TARGET)] {
        a.load(Width::Word, R2, PACKET, old);
        a.store(Width::Word, FRAME, frame::OLD_IP + at, R2);
        a.load(Width::Word, R2, ENTRY, new);
        a.store(Width::Word, FRAME, frame::NEW_IP + at, R2);
    }
}

/// Ports and RTP's header before and after; the packet must have the sequence number and the timestamp that are due.
fn foresee_rtp(a: &mut Assembler) {
    for (at, old) in [(0, UDP_PORTS), (4, RTP), (8, RTP_TIMESTAMP), (12, RTP_SSRC)] {
        a.load(Width::Word, R2, PACKET, old);
        a.store(Width::Word, FRAME, frame::OLD_UDP + at, R2);
    }
    for (width, at, new) in
        [(Width::Word, 0, entry::NEW_PORTS), (Width::Half, 4, entry::NEW_HEAD), (Width::Word, 12, entry::NEW_SSRC)]
    {
        a.load(width, R2, ENTRY, new);
        a.store(width, FRAME, frame::NEW_UDP + at, R2);
    }
    // R3: how many have been passed on.
    a.mov32(R3, STATE);
    a.load(Width::Half, R4, ENTRY, entry::SEQUENCE);
    a.op(Op::Add, R4, R3);
    a.op(Op::And, R4, 0xffff);
    a.load(Width::Half, R2, PACKET, RTP_SEQUENCE);
    a.swap(R2, 16);
    a.jump_if(If::NotEqual, R2, R4, "pass");
    a.load(Width::Half, R2, ENTRY, entry::SEQUENCE_ADDED);
    a.op(Op::Add, R4, R2);
    a.swap(R4, 16);
    a.store(Width::Half, FRAME, frame::NEW_UDP + 6, R4);
    a.load(Width::Word, R4, ENTRY, entry::STEP);
    a.mul32(R4, R3);
    a.load(Width::Word, R2, ENTRY, entry::TIMESTAMP);
    a.add32(R4, R2);
    a.load(Width::Word, R2, PACKET, RTP_TIMESTAMP);
    a.swap(R2, 32);
    a.jump_if(If::NotEqual, R2, R4, "pass");
    a.load(Width::Word, R2, ENTRY, entry::TIMESTAMP_ADDED);
    a.add32(R4, R2);
    a.swap(R4, 32);
    a.store(Width::Word, FRAME, frame::NEW_UDP + 8, R4);
}

/// Counts the packet if the entry is still as it was when it was read.
fn claim(a: &mut Assembler) {
    a.op(Op::Mov, R0, STATE);
    a.op(Op::Mov, R1, STATE);
    a.op(Op::Add, R1, 1);
    a.exchange_if_same(ENTRY, entry::STATE, R1);
    a.jump_if(If::NotEqual, R0, STATE, "pass");
}

/// Octets, and the jitter of RFC 3550 A.8 as in [`crate::rtp::stats`].
fn measure(a: &mut Assembler) {
    a.load(Width::Double, R1, FRAME, frame::OCTETS);
    a.add_shared(ENTRY, entry::OCTETS, R1);
    a.call(TIME_NS);
    a.load(Width::Double, R1, ENTRY, entry::ARRIVED);
    a.store(Width::Double, ENTRY, entry::ARRIVED, R0);
    a.op(Op::Sub, R0, R1);
    a.op(Op::Div, R0, 1_000);
    a.load(Width::Word, R2, ENTRY, entry::STEP_US);
    a.op(Op::Sub, R0, R2);
    a.jump_if(If::NotNegative, R0, 0, "later");
    a.negate(R0);
    a.label("later");
    a.jump_if(If::Above, R0, JITTER_MAX_US, "measured");
    a.load(Width::Word, R1, ENTRY, entry::ESTIMATE);
    a.op(Op::Mov, R2, R1);
    a.op(Op::Add, R2, 8);
    a.op(Op::Rsh, R2, 4);
    a.op(Op::Add, R1, R0);
    a.op(Op::Sub, R1, R2);
    a.store(Width::Word, ENTRY, entry::ESTIMATE, R1);
    a.op(Op::Rsh, R1, 4);
    a.load(Width::Word, R2, ENTRY, entry::MAX);
    a.jump_if(If::AtMost, R1, R2, "no more");
    a.store(Width::Word, ENTRY, entry::MAX, R1);
    a.label("no more");
    a.load(Width::Double, R2, ENTRY, entry::SUM);
    a.op(Op::Add, R2, R1);
    a.store(Width::Double, ENTRY, entry::SUM, R2);
    a.load(Width::Word, R2, ENTRY, entry::MEASURED);
    a.op(Op::Add, R2, 1);
    a.store(Width::Word, ENTRY, entry::MEASURED, R2);
    a.label("measured");
}

/// Writes the headers.
fn rewrite(a: &mut Assembler) {
    a.load(Width::Word, R2, FRAME, frame::NEW_IP);
    a.store(Width::Word, PACKET, IP, R2);
    a.store(Width::Half, PACKET, IP_TTL, TTL_AND_UDP);
    for (to, from) in [
        (IP_SOURCE, frame::NEW_IP + 8),
        (IP_TARGET, frame::NEW_IP + 12),
        (UDP_PORTS, frame::NEW_UDP),
        (RTP, frame::NEW_UDP + 4),
        (RTP_TIMESTAMP, frame::NEW_UDP + 8),
        (RTP_SSRC, frame::NEW_UDP + 12),
    ] {
        a.load(Width::Word, R2, FRAME, from);
        a.store(Width::Word, PACKET, to, R2);
    }
}

/// Corrects the sums by what has changed, so that a packet that was damaged stays so.
fn correct_sums(a: &mut Assembler) {
    difference(a, frame::OLD_IP, frame::NEW_IP, 16);
    a.op(Op::Mov, R1, SKB);
    a.op(Op::Mov, R2, IP_SUM);
    a.op(Op::Mov, R3, 0);
    a.op(Op::Mov, R5, 0);
    a.call(REPLACE_IP_SUM);
    for (old, new, bytes, bits) in [
        (frame::OLD_IP + ADDRESSES, frame::NEW_IP + ADDRESSES, 8, PSEUDO | KEEP_ZERO),
        (frame::OLD_UDP, frame::NEW_UDP, 16, KEEP_ZERO),
    ] {
        difference(a, old, new, bytes);
        a.op(Op::Mov, R1, SKB);
        a.op(Op::Mov, R2, UDP_SUM);
        a.op(Op::Mov, R3, 0);
        a.op(Op::Mov, R5, bits);
        a.call(REPLACE_UDP_SUM);
    }
}

/// R4 becomes the difference of the sums of some bytes of the frame.
fn difference(a: &mut Assembler, old: i16, new: i16, bytes: i32) {
    a.op(Op::Mov, R1, FRAME);
    a.op(Op::Add, R1, i32::from(old));
    a.op(Op::Mov, R2, bytes);
    a.op(Op::Mov, R3, FRAME);
    a.op(Op::Add, R3, i32::from(new));
    a.op(Op::Mov, R4, bytes);
    a.op(Op::Mov, R5, 0);
    a.call(SUM_DIFFERENCE);
    a.op(Op::Mov, R4, R0);
}

/// To the neighbour on the way to the peer, or by "lo" once more: there it has the route that it came with, to this machine.
fn send(a: &mut Assembler, setup: Setup) {
    a.load(Width::Word, R1, FRAME, frame::INTERFACE);
    a.jump_if(If::Equal, R1, 0, "here");
    a.op(Op::Mov, R2, 0);
    a.op(Op::Mov, R3, 0);
    a.op(Op::Mov, R4, 0);
    a.call(TO_NEIGHBOUR);
    a.exit();
    a.label("here");
    a.op(Op::Mov, R1, setup.loopback as i32);
    a.op(Op::Mov, R2, 0);
    a.call(TO_INTERFACE);
    a.exit();
}

/// The entry's box, if the packet fits and there is room.
fn find_box(a: &mut Assembler, setup: Setup) {
    a.op(Op::Sub, R2, 1);
    a.store(Width::Word, FRAME, frame::INDEX, R2);
    a.load(Width::Double, R2, FRAME, frame::OCTETS);
    a.jump_if(If::Above, R2, LETTER_MAX as i32 - RTP_HEADER, "pass");
    a.map(R1, setup.boxes);
    a.op(Op::Mov, R2, FRAME);
    a.op(Op::Add, R2, i32::from(frame::INDEX));
    a.call(MAP_LOOKUP);
    a.jump_if(If::Equal, R0, 0, "pass");
    a.store(Width::Double, FRAME, frame::MAILBOX, R0);
    a.load(Width::Word, R1, R0, mailbox::TAKEN);
    a.mov32(R2, STATE);
    a.op(Op::Sub, R2, R1);
    // More taken than put has become very large.
    a.jump_if(If::AtLeast, R2, LETTERS as i32, "pass");
}

/// Copies the datagram into the letter that is claimed, and then says that it is there.
fn put(a: &mut Assembler) {
    a.load(Width::Double, LETTER, FRAME, frame::MAILBOX);
    a.mov32(R1, STATE);
    a.op(Op::And, R1, LETTERS as i32 - 1);
    a.op(Op::Lsh, R1, mailbox::SHIFT);
    a.op(Op::Add, LETTER, R1);
    a.load(Width::Double, R4, FRAME, frame::OCTETS);
    a.op(Op::Add, R4, RTP_HEADER);
    // It has been looked at; so that the kernel sees it again.
    a.jump_if(If::Above, R4, LETTER_MAX as i32, "lost");
    a.jump_if(If::Equal, R4, 0, "lost");
    a.store(Width::Half, LETTER, mailbox::LENGTH, R4);
    a.op(Op::Mov, R1, SKB);
    a.op(Op::Mov, R2, i32::from(RTP));
    a.op(Op::Mov, R3, LETTER);
    a.op(Op::Add, R3, i32::from(mailbox::BYTES));
    a.call(LOAD_BYTES);
    a.jump_if(If::Equal, R0, 0, "kept");
    a.label("lost");
    a.store(Width::Half, LETTER, mailbox::LENGTH, 0);
    a.label("kept");
    a.call(TIME_NS);
    a.store(Width::Double, LETTER, mailbox::ARRIVED, R0);
    for (width, to, field) in [(Width::Half, mailbox::SUM, UDP_SUM as i16), (Width::Word, mailbox::TARGET, IP_TARGET)] {
        a.load(width, R1, PACKET, field);
        a.store(width, LETTER, to, R1);
    }
    a.mov32(R1, STATE);
    a.op(Op::Add, R1, 1);
    a.exchange32(LETTER, mailbox::READY, R1);
    a.op(Op::Mov, R0, DONE);
    a.exit();
}
