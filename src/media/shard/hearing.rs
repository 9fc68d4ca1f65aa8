//! Who has an ear and who a mouth, and each ear's frame to whoever needs it.

use super::{EARS, STEP_US, Shard, Sink, send};
use crate::base::time::Instant;
use crate::media::frame::{Frame, Rate};

impl Shard {
    /// Pulls the ears whose frames are due in a step, and lets everybody hear who needs their sound.
    pub(super) fn listen(&mut self, step: u64, late: bool, out: &mut impl Sink) {
        let Some(due) = self.ears.get_mut(step as usize % EARS).map(std::mem::take) else { return };
        for (n, port) in due.iter().enumerate() {
            self.foresee_after(n, |n| due.get(n));
            self.pull(*port, Instant::from_micros(step * STEP_US), late, out);
        }
        if let Some(place) = self.ears.get_mut(step as usize % EARS) {
            *place = due;
        }
    }

    fn pull(&mut self, port: u32, due: Instant, late: bool, out: &mut impl Sink) {
        self.stats.ticks_late += u64::from(late);
        let Some(ear) = self.place(port).and_then(|p| p.leg.ear()) else { return };
        if late {
            return ear.skip(due);
        }
        let mut frame = Frame::silent(Rate::Narrow);
        if ear.pull(due, &mut frame) {
            self.tell(port, due, &frame, out);
        }
    }

    /// Gives what a leg's ear has heard to those who hear the leg and have a mouth, unless its packets are relayed now.
    pub(super) fn tell(&mut self, port: u32, due: Instant, frame: &Frame, out: &mut impl Sink) {
        let complexity = self.effort.complexity();
        let Some(place) = self.place(port).filter(|p| p.leg.speaks_by_ear()) else { return };
        let mut next = place.first_listener;
        while let Some(port) = next {
            let Some(place) = self.place(port) else { break };
            next = place.next_listener;
            if place.leg.has_mouth() {
                place.leg.spend(complexity);
                let tapped = place.leg.tapped();
                let (rate, samples) = (frame.rate, frame.samples());
                place.leg.say(due, rate, samples, |to, packet, wire| send(tapped, due, (port, to), packet, wire, out));
                self.stats.ticks += 1;
            }
        }
    }

    /// Gives a leg the ear and the mouth that it needs now, and takes what it does not.
    pub(super) fn equip(&mut self, port: u32) {
        let (mut needed, mut wanted) = (0, Rate::Narrow);
        let mut next = self.place(port).and_then(|p| p.first_listener);
        while let Some(listener) = next {
            let Some(place) = self.place(listener) else { break };
            next = place.next_listener;
            let sent = place.leg.sent();
            let formats = self.place(port).map_or(0, |p| p.leg.needs_sound(sent));
            needed |= formats;
            wanted = sent.and_then(|c| c.rate()).filter(|_| formats != 0).map_or(wanted, |rate| rate.max(wanted));
        }
        let seed = port.wrapping_mul(0x9e37_79b9);
        let Some(place) = self.place(port) else { return };
        let seated = place.room.is_some();
        if seated {
            (needed, wanted) = (place.leg.sounds(), place.leg.sent().and_then(|c| c.rate()).unwrap_or_default());
        }
        let listens = place.leg.set_ear(needed, wanted, seed);
        let (sent, heard) = (place.leg.sent(), place.heard);
        // What a room says in the frame of a wide ear is for a mouth to make narrow.
        let narrow = place.leg.ear().is_none_or(|ear| ear.rate() == Rate::Narrow);
        let made = if seated { narrow && place.leg.plain().is_some() } else { sent.is_some_and(|c| c.is_g711()) };
        let own = place.leg.generates() && !made;
        let said = place.leg.ear().filter(|_| seated && own).map(|ear| ear.rate());
        let spoken = heard.and_then(|h| self.place(h)).filter(|p| p.leg.needs_sound(sent) != 0);
        let rate = spoken.and_then(|p| p.leg.ear()).map(|ear| ear.rate());
        if let Some(place) = self.place(port) {
            place.leg.set_mouth(rate.or(said).or(own.then_some(Rate::Narrow)));
        }
        self.listen_at(port, listens && !seated);
    }

    /// A leg and all whose equipment follows from its state.
    pub(super) fn equip_around(&mut self, port: u32) {
        let Some(place) = self.place(port) else { return };
        let (heard, mut next) = (place.heard, place.first_listener);
        if let Some(heard) = heard {
            self.equip(heard);
        }
        self.equip(port);
        while let Some(listener) = next {
            self.equip(listener);
            next = self.place(listener).and_then(|p| p.next_listener);
        }
    }

    /// Puts an ear's place on its list, or takes it off.
    pub(super) fn listen_at(&mut self, port: u32, listens: bool) {
        let Some(phase) = self.place(port).map(|p| usize::from(p.phase) % EARS) else { return };
        let Some(due) = self.ears.get_mut(phase) else { return };
        let at = due.iter().position(|p| *p == port);
        match at {
            None if listens => due.push(port),
            Some(at) if !listens => {
                due.swap_remove(at);
            }
            _ => {}
        }
    }

    /// An ear has woken: its frames are due in the steps that follow from here.
    pub(super) fn listen_from(&mut self, port: u32, from: Instant) {
        self.listen_at(port, false);
        if let Some(place) = self.place(port).filter(|p| p.room.is_none()) {
            place.phase = (from.as_micros().div_ceil(STEP_US) % EARS as u64) as u8;
            self.listen_at(port, true);
        }
    }
}
