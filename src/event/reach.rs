//! What users change of where their calls go.

/// What one user has changed, all of it; what is `None` is as tandem.yaml says, `Some(None)`: there is none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub always: Option<Option<String>>,
    pub busy: Option<Option<String>>,
    pub no_answer: Option<Option<String>>,
    pub dnd: Option<bool>,
}
