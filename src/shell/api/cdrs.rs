//! Records, by pages, as JSON, JSON lines or CSV.

use super::percent::percent_decode;
use super::{Api, Problem};
use crate::shell::store::{Filter, Format, Page, Reader, write_cdrs};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

const LIMIT: usize = 100;

/// What a query asks for.
struct Ask {
    filter: Filter,
    page: Option<String>,
    limit: usize,
    format: Option<Format>,
}

/// Reads `a=b&c=d`, percent-decoded.
fn read(query: &str, accept: &str) -> Result<Ask, Problem> {
    let format = if accept.contains("text/csv") {
        Some(Format::Csv)
    } else if accept.contains("application/jsonl") || accept.contains("application/x-ndjson") {
        Some(Format::Jsonl)
    } else {
        None
    };
    let mut ask = Ask { filter: Filter::default(), page: None, limit: LIMIT, format };
    let pairs = query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
    for (name, value) in pairs {
        let value = percent_decode(value).ok_or_else(|| Problem::bad_request(format!("{name}: not UTF-8")))?;
        match name {
            "page" => ask.page = Some(value),
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=Reader::PAGE_MAX).contains(n));
                let wrong =
                    || Problem::bad_request(format!("limit: `{value}` is not within 1 to {}", Reader::PAGE_MAX));
                ask.limit = limit.ok_or_else(wrong)?;
            }
            "format" => {
                ask.format = match value.as_str() {
                    "json" => None,
                    "jsonl" => Some(Format::Jsonl),
                    "csv" => Some(Format::Csv),
                    _ => return Err(Problem::bad_request(format!("format: `{value}` is none of json, jsonl, csv"))),
                }
            }
            _ => ask.filter.set(name, &value).map_err(Problem::bad_request)?,
        }
    }
    Ok(ask)
}

pub async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Ask { filter, page, limit, format } = read(&query.unwrap_or_default(), accept)?;
    if page.as_deref().is_some_and(|mark| !Page::is_mark(mark)) {
        return Err(Problem::bad_request("page: not a mark that `next` of an earlier page gave"));
    }
    let Page { cdrs, next } = api.read(move |reader| reader.list(&filter, page.as_deref(), limit)).await?;
    let Some(format) = format else {
        return Ok(axum::Json(serde_json::json!({ "cdrs": cdrs, "next": next })).into_response());
    };
    let mut body = Vec::new();
    write_cdrs(&cdrs, format, &mut body).map_err(|e| Problem::internal(e.to_string()))?;
    let kind = match format {
        Format::Jsonl => "application/jsonl",
        Format::Csv => "text/csv; charset=utf-8; header=present",
    };
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    // The next page's address, where the body has no room for it (RFC 8288).
    if let Some(link) = next.and_then(|n| format!("<?page={n}>; rel=\"next\"").parse().ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_wrong_ones_refused() {
        let ask = read("from=%2B1415&trunk=a+b&since=2026-11-22&limit=5&format=csv", "*/*").ok().unwrap();
        assert_eq!((ask.filter.from.as_deref(), ask.filter.trunk.as_deref()), (Some("+1415"), Some("a b")));
        assert_eq!((ask.limit, ask.format, ask.filter.since.is_some()), (5, Some(Format::Csv), true));
        assert_eq!(read("", "text/csv").ok().unwrap().format, Some(Format::Csv));
        for wrong in ["limit=0", "limit=1001", "since=noon", "colour=red", "format=xml", "from=%zz", "from=%ff"] {
            assert!(read(wrong, "").is_err(), "{wrong}");
        }
    }
}
