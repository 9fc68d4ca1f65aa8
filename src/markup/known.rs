//! Documents that were read before: a menu is the same for each caller, and who waits asks for the same sound again and again.

use super::{Fault, Warning, read};
use crate::verb::{BlockId, Program};
use crate::web::{Content, Page};
use std::collections::VecDeque;
use std::sync::Arc;

/// Documents that are kept, and the longest of them in octets.
const KEPT_MAX: usize = 32;
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// A document as calls share it.
#[derive(Clone, Debug)]
pub struct Shared {
    pub program: Arc<Program>,
    pub entry: BlockId,
    pub warnings: Arc<[Warning]>,
}

/// What was read last, newest first, with the answer that it was read from.
#[derive(Default)]
pub struct Known(VecDeque<(Page, Shared)>);

impl Known {
    /// As [`read`], once for answers that are the same to the octet.
    pub fn read(&mut self, page: &Page) -> Result<Shared, Fault> {
        let is_same = |(other, _): &(Page, Shared)| {
            (other.body(), &other.content_type, &other.url) == (page.body(), &page.content_type, &page.url)
        };
        if let Some(found) = self.0.iter().position(is_same).and_then(|at| self.0.remove(at)) {
            let shared = found.1.clone();
            self.0.push_front(found);
            return Ok(shared);
        }
        let document = read(page.body(), &page.content_type, &page.url)?;
        let (program, warnings) = (Arc::new(document.program), document.warnings.into());
        let shared = Shared { program, entry: document.entry, warnings };
        if matches!(&page.content, Content::Body(body) if body.len() <= KEPT_BYTES_MAX) {
            self.0.truncate(KEPT_MAX - 1);
            self.0.push_front((Page { fell_back: None, ..page.clone() }, shared.clone()));
        }
        Ok(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str, inside: &str) -> Page {
        let content = Content::Body(format!("<Response>{inside}</Response>").into());
        Page { url: url.into(), status: 200, content_type: "text/xml".into(), content, fell_back: None }
    }

    #[test]
    fn the_same_answer_is_read_once_and_any_other_for_itself() {
        let mut known = Known::default();
        let mut of = |page: &Page| known.read(page).unwrap();
        let first = of(&page("http://a/b", "<Hangup/>"));
        assert!(Arc::ptr_eq(&first.program, &of(&page("http://a/b", "<Hangup/>")).program));
        let others =
            [page("http://a/c", "<Hangup/>"), page("http://a/b", "<Reject/>"), page("http://a/b", "<Hangup />")];
        for other in &others {
            assert!(!Arc::ptr_eq(&first.program, &of(other).program), "{other:?}");
        }
        let as_text = Page { content_type: "text/plain".into(), ..page("http://a/b", "<Hangup/>") };
        assert!(!Arc::ptr_eq(&first.program, &of(&as_text).program));
        let told = |shared: Shared| shared.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
        let warned = page("http://a/b", "<Foo/>");
        assert_eq!((told(of(&warned)).len(), told(of(&warned))), (1, told(of(&warned))));
        assert!(known.read(&page("http://a/b", "<")).is_err());
    }

    #[test]
    fn few_documents_are_kept_and_no_long_one() {
        let mut known = Known::default();
        let long = page("http://a/long", &" ".repeat(KEPT_BYTES_MAX));
        known.read(&long).unwrap();
        assert!(known.0.is_empty());
        let used = known.read(&page("http://a/used", "")).unwrap();
        for n in 0..3 * KEPT_MAX {
            known.read(&page(&format!("http://a/{n}"), "")).unwrap();
            assert!(Arc::ptr_eq(&used.program, &known.read(&page("http://a/used", "")).unwrap().program));
        }
        assert_eq!(known.0.len(), KEPT_MAX);
    }
}
