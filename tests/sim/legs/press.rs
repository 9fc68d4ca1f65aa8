//! Keys that a caller presses: as events of RTP (RFC 4733), by INFO, or by both, each INFO when the one before is answered.

use super::*;
use crate::party::Act;
use std::net::SocketAddr;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum By {
    Event,
    Info,
    Both,
}

impl Party {
    pub(super) fn press(&mut self, leg: usize, key: char) {
        let l = &mut self.legs[leg];
        if l.state != State::Answered {
            return;
        }
        l.presses += 1;
        let key = (l.presses, key);
        let media = SocketAddr::new(l.sdp.ip, l.sdp.port);
        let (by, call_id) = (l.plan.by, l.call_id.clone());
        if by != By::Info {
            self.acts.push(Act::Press { call_id, media, key });
        }
        if by != By::Event {
            self.legs[leg].infos.push_back(key);
            self.next_info(leg);
        }
    }

    fn next_info(&mut self, leg: usize) {
        let l = &mut self.legs[leg];
        if l.state != State::Answered || l.info_waits {
            return;
        }
        let Some((press, key)) = l.infos.pop_front() else { return };
        l.info_waits = true;
        let mut m = self.in_dialog(leg, "INFO", None).with("Content-Type", "application/dtmf-relay");
        m.body = format!("Signal={key}\r\nDuration=100\r\nPress={press}\r\n");
        self.request(Some(leg), m);
    }

    /// A final response to an INFO, or none within its time (`status` 0).
    pub(super) fn info_answered(&mut self, leg: usize, status: u16) {
        let l = &mut self.legs[leg];
        l.info_waits = false;
        // 500: a re-INVITE overtook it (RFC 3261 §12.2.2).
        if ![0, 200, 481, 408, 500].contains(&status) {
            let (created, call_id) = (l.created, l.call_id.clone());
            self.blame(created, &call_id, format!("{status} to INFO"));
        }
        self.next_info(leg);
    }
}
