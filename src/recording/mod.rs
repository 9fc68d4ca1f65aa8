//! Recordings: what a recorder writes and how it is read back. Formats, the journal, sealing, and the placing of two tracks on
//! one line of time. Nothing here touches a disk; the threads that do are `shell::recording`.

pub mod command;
pub mod crc;
pub mod journal;
pub mod measure;
pub mod ogg;
pub mod seal;
pub mod tape;
pub mod track;
pub mod trim;
pub mod voice;
pub mod wav;
