//! Vosk's server by its published protocol over a WebSocket (alphacep/vosk-server): a JSON message with `config`, then samples as
//! binary messages, each of which is answered by a JSON message with `partial` or with `text`, then `{"eof" : 1}` and its answer.

use super::recogniser::{Recogniser, Text, Understood};
use serde_json::{Value, json};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// How long a server may take for an answer, and to be connected to.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// A message of sound: 100 ms at 16 kHz.
const CHUNK: usize = 1_600;
const PHRASES_MAX: usize = 500;

#[derive(Debug)]
pub struct Vosk {
    socket: WebSocket<TcpStream>,
    rest: Vec<i16>,
}

fn failed(what: &str, why: impl std::fmt::Display) -> String {
    format!("the recogniser's server {what}: {why}")
}

impl Vosk {
    pub fn open(url: &str, hints: &str, rate: u32) -> Result<Vosk, String> {
        let authority = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let with_port = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let mut addresses = with_port.to_socket_addrs().map_err(|e| failed("is not found", e))?;
        let address = addresses.next().ok_or_else(|| failed("is not found", authority))?;
        let stream = TcpStream::connect_timeout(&address, CONNECT).map_err(|e| failed("does not answer", e))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| failed("cannot be asked", e))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|e| failed("cannot be asked", e))?;
        let _ = stream.set_nodelay(true);
        let (socket, _) = tungstenite::client(url, stream).map_err(|e| failed("is no WebSocket", e))?;
        let mut vosk = Vosk { socket, rest: Vec::new() };
        let phrases: Vec<String> =
            hints.split(',').map(|p| p.trim().to_lowercase()).filter(|p| !p.is_empty()).take(PHRASES_MAX).collect();
        let mut config = json!({ "sample_rate": rate, "words": true });
        if let (Some(config), false) = (config.as_object_mut(), phrases.is_empty()) {
            // What is none of them may still be said.
            let list = phrases.into_iter().chain(["[unk]".to_owned()]).collect();
            config.insert("phrase_list".to_owned(), list);
        }
        vosk.send(Message::text(json!({ "config": config }).to_string()))?;
        Ok(vosk)
    }

    fn send(&mut self, message: Message) -> Result<(), String> {
        self.socket.send(message).map_err(|e| failed("broke off", e))
    }

    fn answer(&mut self) -> Result<Understood, String> {
        loop {
            match self.socket.read().map_err(|e| failed("broke off", e))? {
                Message::Text(text) => return Ok(understood(&text)),
                Message::Close(_) => return Err(failed("broke off", "it has closed")),
                _ => {}
            }
        }
    }

    fn sound(&mut self, sound: &[i16]) -> Result<Understood, String> {
        let bytes: Vec<u8> = sound.iter().flat_map(|s| s.to_le_bytes()).collect();
        self.send(Message::binary(bytes))?;
        self.answer()
    }
}

/// What a message says: words with their confidence, alternatives, or what is understood so far.
fn understood(text: &str) -> Understood {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(partial) = value.get("partial").and_then(Value::as_str) {
        return Understood::SoFar(partial.to_owned());
    }
    let best = value.get("alternatives").and_then(|a| a.get(0));
    let of = best.unwrap_or(&value);
    let Some(text) = of.get("text").and_then(Value::as_str) else { return Understood::Nothing };
    let words: Vec<&str> = text.split_whitespace().filter(|w| *w != "[unk]").collect();
    if words.is_empty() {
        return Understood::Nothing;
    }
    let each = of.get("result").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let each: Vec<f64> = each.iter().filter_map(|word| word.get("conf")?.as_f64()).collect();
    let confidence = if each.is_empty() { 0.0 } else { each.iter().sum::<f64>() / each.len() as f64 };
    Understood::Sentence(Text { text: words.join(" "), confidence: confidence as f32 })
}

impl Recogniser for Vosk {
    fn take(&mut self, sound: &[i16]) -> Result<Understood, String> {
        self.rest.extend_from_slice(sound);
        let mut latest = Understood::Nothing;
        while self.rest.len() >= CHUNK {
            let rest = self.rest.split_off(CHUNK);
            let chunk = std::mem::replace(&mut self.rest, rest);
            latest = self.sound(&chunk)?;
            if matches!(latest, Understood::Sentence(_)) {
                break;
            }
        }
        Ok(latest)
    }

    fn end(&mut self) -> Result<Option<Text>, String> {
        let mut all: Vec<Text> = Vec::new();
        while !self.rest.is_empty() {
            let rest = self.rest.split_off(CHUNK.min(self.rest.len()));
            let chunk = std::mem::replace(&mut self.rest, rest);
            if let Understood::Sentence(text) = self.sound(&chunk)? {
                all.push(text);
            }
        }
        self.send(Message::text(r#"{"eof" : 1}"#))?;
        if let Understood::Sentence(text) = self.answer()? {
            all.push(text);
        }
        // Whether it hears the end matters to nobody.
        let _ = self.socket.close(None);
        let confidence = all.iter().map(|t| t.confidence).sum::<f32>() / all.len().max(1) as f32;
        let text = all.into_iter().map(|t| t.text).collect::<Vec<_>>().join(" ");
        Ok(Some(Text { text, confidence }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let sentence = |text: &str, confidence| Understood::Sentence(Text { text: text.to_owned(), confidence });
        let rows = [
            (r#"{"partial": "one two"}"#, Understood::SoFar("one two".to_owned())),
            (
                r#"{"result": [{"conf": 1.0, "word": "one"}, {"conf": 0.5, "word": "two"}], "text": "one two"}"#,
                sentence("one two", 0.75),
            ),
            (r#"{"text": "sales [unk]"}"#, sentence("sales", 0.0)),
            (r#"{"alternatives": [{"confidence": 201.5, "text": "yes"}]}"#, sentence("yes", 0.0)),
            (r#"{"text": ""}"#, Understood::Nothing),
            ("[unk]", Understood::Nothing),
            ("", Understood::Nothing),
        ];
        for (text, expected) in rows {
            assert_eq!(understood(text), expected, "{text}");
        }
    }
}
