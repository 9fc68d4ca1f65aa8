//! RTP (RFC 3550): the packet and its header, RTCP, reception statistics, telephone-event, SRTP. Bytes in, values out; no I/O.

pub mod packet;
pub mod retiming;
pub mod rtcp;
pub mod srtp;
pub mod stats;
pub mod telephone_event;
