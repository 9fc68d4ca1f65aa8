//! Sound for a conference that a document names: music before it begins, announcements, music of one who is on hold.

use super::Call;
use crate::event::{Side, What};
use crate::markup;
use crate::media::command::{Hears, PlayId};
use crate::switch::call::Doing;
use crate::switch::world::World;
use crate::verb::{Verb, is_url};
use crate::web::{self, Address, Content, Fault, FetchId, Method, Page, Want};
use std::sync::Arc;

/// What a sound is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// Those who wait for the conference to begin.
    Waiting,
    /// All who are in it.
    All,
    /// This one, once.
    One,
    /// This one, while it is on hold.
    Held,
}

/// A sound that is being fetched, and one that one participant hears in the place of the others.
#[derive(Debug, Default)]
pub struct Tunes {
    asked: Option<(FetchId, For)>,
    own: Option<PlayId>,
}

impl Tunes {
    /// Nobody hears it any more; what is not to be fetched then.
    pub fn leave(&mut self) -> Option<FetchId> {
        self.own = None;
        self.asked.take().map(|(id, _)| id)
    }
}

impl Call {
    /// Asks for a document whose Play is the sound, or for the sound itself.
    pub fn fetch_tune(&mut self, w: &mut World, what: For, address: Address) {
        if let Some((id, _)) = self.tunes.asked.take() {
            self.cancel_fetch(w, id);
        }
        let Doing::Conferring(name) = &self.doing else { return };
        let name = name.to_string();
        let sid = w.conferences.by_name.get(&name).map_or(0, |c| c.sid);
        let more = vec![("ConferenceSid".to_owned(), format!("CF{sid:032x}")), ("FriendlyName".to_owned(), name)];
        let id = self.fetch(w, Want::Document, address, None, more);
        self.tunes.asked = Some((id, what));
    }

    /// False if it was asked for something else.
    pub fn on_tune(&mut self, w: &mut World, id: FetchId, result: &Result<Box<Page>, Fault>) -> bool {
        let Some((_, what)) = self.tunes.asked.take_if(|(asked, _)| *asked == id) else { return false };
        let why = match result {
            Ok(page) => match &page.content {
                Content::File(file) => {
                    self.sound_tune(w, what, Arc::clone(file));
                    return true;
                }
                Content::Body(_) => match self.tune_of(w, what, page) {
                    Ok(()) => return true,
                    Err(why) => why,
                },
            },
            Err(fault) => fault.to_string(),
        };
        self.note(w, Side::Call, What::Note(format!("no sound for the conference: {why}").into()));
        if let (For::All | For::One, Doing::Conferring(name)) = (what, &self.doing) {
            let more = vec![("ReasonAnnouncementFailed".to_owned(), why)];
            w.tell_conference(name, ("announcement", "announcement-fail"), None, more);
        }
        true
    }

    /// The first Play of a document.
    fn tune_of(&mut self, w: &mut World, what: For, page: &Page) -> Result<(), String> {
        let read = markup::read(page.body(), &page.content_type, &page.url).map_err(|fault| fault.to_string())?;
        let mut plays = read.program.steps().filter_map(|step| match &step.verb {
            Verb::Play { file, .. } => file.as_literal(),
            _ => None,
        });
        let file = web::resolve(&page.url, plays.next().ok_or("the document plays nothing")?);
        if is_url(&file) {
            let id = self.fetch(w, Want::Media, Address::new(file, Method::Get), None, Vec::new());
            self.tunes.asked = Some((id, what));
        } else {
            self.sound_tune(w, what, file.into());
        }
        Ok(())
    }

    fn sound_tune(&mut self, w: &mut World, what: For, file: Arc<str>) {
        let Doing::Conferring(name) = &self.doing else { return };
        let name = name.to_string();
        match what {
            For::Waiting => w.set_music(&name, file),
            For::All => _ = w.announce(&name, file),
            For::Held if !w.is_held(&name, self.key) => {}
            For::One | For::Held => {
                let id = w.new_play();
                self.tunes.own = Some(id);
                self.hear(w, 0, Hears::Play { id, file, loops: u32::from(what == For::One) });
            }
        }
    }

    /// What this one heard alone is over, or nobody is to hear it any more.
    pub fn own_tune_ends(&mut self, w: &mut World, id: Option<PlayId>) {
        if self.tunes.own.take_if(|own| id.is_none_or(|id| *own == id)).is_none() {
            return;
        }
        let Doing::Conferring(name) = &self.doing else { return };
        let name = name.to_string();
        if let Some(room) = w.conferences.by_name.get(&name).map(|c| c.room) {
            self.hear(w, 0, Hears::Room(room));
        }
    }
}
