//! What went wrong with a request: a status, a stable code, a sentence.

use crate::shell::store::Fault;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Answered as `{"code": …, "message": …}`; a refused reload has `faults` too.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    faults: Vec<String>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into(), faults: Vec::new() }
    }

    pub fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn bad_request(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub fn internal(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The control thread is ending.
    pub fn gone() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the switch is stopping")
    }

    pub fn store(fault: &Fault) -> Problem {
        let what = format!("the store could not be read: {fault}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", what)
    }

    /// A reload that was refused whole.
    pub fn refused(faults: Vec<String>) -> Problem {
        let message = match faults.as_slice() {
            [one] => format!("the configuration stays as it was: {one}"),
            many => format!("the configuration stays as it was: the new one has {} faults", many.len()),
        };
        Problem { faults, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", message) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({ "code": self.code, "message": self.message });
        if let (Some(object), false) = (body.as_object_mut(), self.faults.is_empty()) {
            object.insert("faults".into(), self.faults.into());
        }
        (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}
