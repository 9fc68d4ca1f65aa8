//! The HTTP interface of INTERFACE's `/tandem/v1`, health and metrics. It answers from the control thread's replies and
//! from the store; it keeps nothing itself.

mod auth;
mod calls;
mod cdrs;
mod conferences;
mod door;
pub mod metrics;
mod operate;
mod originate;
mod percent;
mod problem;
#[cfg(test)]
mod tests;
mod v2010;
mod websocket;

pub use auth::Credentials;
pub use problem::Problem;
pub use websocket::Sip;

use super::ledger::Condition;
use super::mail::Mail;
use super::store::{Fault, Reader};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// What a reload came to: every fault, if it was refused.
pub type Reload = Pin<Box<dyn Future<Output = Result<(), Vec<String>>> + Send>>;

/// What the answers are made from.
pub struct Api {
    pub mail: Mail,
    /// The database's file.
    pub store: PathBuf,
    /// `sip.domain`: the realm for which passwords of phones are hashed.
    pub realm: String,
    pub condition: Arc<Condition>,
    /// Where recordings lie and what opens them.
    pub recordings: super::recording::Settings,
    /// `None`: no credentials are asked for; the shell allows that on loopback only.
    pub credentials: Option<Credentials>,
    pub reload: Box<dyn Fn() -> Reload + Send + Sync>,
    /// Open SIP connections.
    pub connections: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Api {
    /// Asks the store on a thread that may wait.
    async fn read<T, F>(&self, ask: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, Fault> + Send + 'static,
    {
        let path = self.store.clone();
        let read = move || Reader::open(&path).and_then(|reader| ask(&reader));
        let done = tokio::task::spawn_blocking(read).await;
        done.map_err(|_| Problem::internal("the store's reader broke off"))?.map_err(|f| Problem::store(&f))
    }
}

type Routes = Vec<(&'static str, &'static str, MethodRouter<Arc<Api>>)>;

/// Every path with its method; `openapi.json` describes the same ones, which a test holds.
fn routes() -> Routes {
    vec![
        ("get", "/tandem/v1/calls", get(calls::list)),
        ("post", "/tandem/v1/calls", post(originate::place)),
        ("get", "/tandem/v1/calls/{call}", get(calls::one)),
        ("delete", "/tandem/v1/calls/{call}", delete(calls::hangup)),
        ("get", "/tandem/v1/calls/{call}/timeline", get(calls::timeline)),
        ("get", "/tandem/v1/calls/{call}/pcap", get(calls::pcap)),
        ("post", "/tandem/v1/calls/{call}/hangup", post(calls::hangup)),
        ("get", "/tandem/v1/conferences", get(conferences::list)),
        ("delete", "/tandem/v1/conferences/{name}", delete(conferences::end)),
        ("post", "/tandem/v1/conferences/{name}/announcements", post(conferences::announce)),
        ("post", "/tandem/v1/conferences/{name}/participants/{call}", post(conferences::change)),
        ("delete", "/tandem/v1/conferences/{name}/participants/{call}", delete(conferences::remove)),
        ("get", "/tandem/v1/queues", get(conferences::queues)),
        ("get", "/tandem/v1/trunks", get(operate::trunks)),
        ("get", "/tandem/v1/registrations", get(operate::registrations)),
        ("get", "/tandem/v1/bans", get(operate::bans)),
        ("delete", "/tandem/v1/bans/{source}", delete(operate::unban)),
        ("post", "/tandem/v1/mailboxes/{user}", post(operate::mailbox)),
        ("get", "/tandem/v1/users/{user}/forwarding", get(operate::forwarding)),
        ("post", "/tandem/v1/users/{user}/forwarding", post(operate::set_forwarding)),
        ("get", "/tandem/v1/cdrs", get(cdrs::list)),
        ("post", "/tandem/v1/reload", post(operate::reload)),
        ("post", "/tandem/v1/drain", post(operate::drain)),
        ("post", "/tandem/v1/undrain", post(operate::undrain)),
        ("get", "/tandem/v1/openapi.json", get(openapi)),
        ("get", "/metrics", get(metrics::metrics)),
    ]
}

/// The application: all but health behind the credentials.
pub fn router(api: Arc<Api>) -> Router {
    let rest = v2010::Rest::new(Arc::clone(&api));
    let guarded = routes().into_iter().fold(Router::new(), |router, (_, path, method)| router.route(path, method));
    guarded
        .fallback(|| async { Problem::not_found("there is nothing under this path; see /tandem/v1/openapi.json") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&api), auth::guard))
        .route("/2010-04-01/{*path}", any(v2010::enter).with_state(Arc::clone(&rest)))
        .route("/v1/{*path}", any(v2010::enter_v1).with_state(rest))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(operate::ready))
        .with_state(api)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

/// Serves until the process ends.
pub async fn serve(listener: std::net::TcpListener, api: Arc<Api>, sip: Option<Sip>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let tls = sip.as_ref().map(|sip| sip.tls.clone()).unwrap_or_default();
    let router = sip.into_iter().fold(router(api), |router, sip| router.merge(websocket::route(sip)));
    let door = door::Door::new(tokio::net::TcpListener::from_std(listener)?, tls);
    axum::serve(door, router.into_make_service_with_connect_info::<door::Caller>()).await
}
