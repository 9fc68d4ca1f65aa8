//! Tandem looked at from outside: starts the switch and the programs of others on loopback, lets them call each other,
//! and compares what each side saw and heard. Every program is ended by its process id; every port is free when taken.

pub mod app;
pub mod baresip;
pub mod carriers;
pub mod certificates;
pub mod chromium;
pub mod kamailio;
pub mod lan;
pub mod lossy;
pub mod node;
pub mod process;
pub mod rtp;
pub mod scratch;
pub mod sipp;
pub mod sound;
pub mod talker;
pub mod tandem;
