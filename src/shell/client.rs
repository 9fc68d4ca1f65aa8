//! The command line's way to a running switch: blocking HTTP.

use super::api::Credentials;
use serde_json::Value;
use std::time::Duration;

/// More than the largest capture of a call.
const DOWNLOAD_MAX: u64 = 256 << 20;

/// Where a switch answers and what opens it.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

/// Why there is no answer to use.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody answers under the address.
    Unreachable(String),
    /// The switch's own code and sentence; the faults of a refused reload.
    Answered { code: String, message: String, faults: Vec<String> },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Unreachable(why) => f.write_str(why),
            Refusal::Answered { message, .. } => f.write_str(message),
        }
    }
}

impl Client {
    /// `base` is `http://host:port` or `https://host:port` of this machine: the certificate is for those who come from
    /// elsewhere by a name, and is not verified here.
    pub fn new(base: &str, credentials: Option<&Credentials>) -> Client {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        let base = base.trim_end_matches('/').to_owned();
        Client { agent: config.into(), base, authorization: credentials.map(Credentials::header) }
    }

    pub fn get(&self, path: &str) -> Result<Value, Refusal> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.read(request.call())
    }

    /// What is no JSON.
    pub fn download(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        match request.call() {
            Ok(mut answer) if answer.status().is_success() => answer
                .body_mut()
                .with_config()
                .limit(DOWNLOAD_MAX)
                .read_to_vec()
                .map_err(|e| Refusal::Unreachable(format!("the answer of {} broke off: {e}", self.base))),
            answer => self.read(answer).and_then(|_| Err(Refusal::Unreachable("the switch answered nothing".into()))),
        }
    }

    pub fn post(&self, path: &str) -> Result<Value, Refusal> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.read(request.send_empty())
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.read(request.send(body.to_string()))
    }

    pub fn delete(&self, path: &str) -> Result<Value, Refusal> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.read(request.call())
    }

    fn read(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Refusal> {
        let unreachable = |why: String| Refusal::Unreachable(format!("no switch answers at {}: {why}", self.base));
        let mut answer = answer.map_err(|e| match e {
            ureq::Error::Io(e) => unreachable(super::net::describe(&e)),
            e => unreachable(e.to_string()),
        })?;
        let status = answer.status();
        let text = answer.body_mut().read_to_string().map_err(|e| unreachable(e.to_string()))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|_| unreachable(format!("what answers there is no switch (status {})", status.as_u16())))?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let faults = value["faults"].as_array().into_iter().flatten().filter_map(|f| f.as_str().map(Into::into));
        Err(Refusal::Answered { code: text("code"), message: text("message"), faults: faults.collect() })
    }
}
