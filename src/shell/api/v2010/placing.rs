//! What a call that is placed does, as markup: before its document, or instead of one.

use super::answer::Failure;
use super::form::Form;

/// Text that may stand in markup, also within quotes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Attributes of one element, as far as the form has them.
struct Attributes<'a> {
    form: &'a Form,
    text: String,
}

impl Attributes<'_> {
    fn set(&mut self, attribute: &str, value: &str) {
        self.text.push_str(&format!(" {attribute}=\"{}\"", escape(value)));
    }

    fn take(&mut self, attribute: &str, field: &str) {
        if let Some(value) = self.form.some(field) {
            self.set(attribute, value);
        }
    }

    fn flag(&mut self, attribute: &str, field: &str) -> Result<(), Failure> {
        if let Some(value) = self.form.flag(field)? {
            self.set(attribute, if value { "true" } else { "false" });
        }
        Ok(())
    }

    fn choice(&mut self, attribute: &str, field: &str, of: &[&str]) -> Result<(), Failure> {
        match self.form.some(field) {
            Some(value) if !of.contains(&value) => Err(Failure::parameter(field, value, &of.join(", "))),
            _ => {
                self.take(attribute, field);
                Ok(())
            }
        }
    }

    /// A field that may stand more than once.
    fn all(&mut self, attribute: &str, field: &str) {
        let all: Vec<&str> = self.form.pairs().filter(|(name, _)| *name == field).map(|(_, value)| value).collect();
        if !all.is_empty() {
            self.set(attribute, &all.join(" "));
        }
    }

    /// A callback, its method and its events.
    fn callback(&mut self, attribute: &str, field: &str) -> Result<(), Failure> {
        self.take(attribute, field);
        self.choice(&format!("{attribute}Method"), &format!("{field}Method"), &["GET", "POST"])?;
        self.all(&format!("{attribute}Event"), &format!("{field}Event"));
        Ok(())
    }
}

/// `SendDigits`, `Record` and what belongs to it: what comes before the call's document.
pub fn preface(form: &Form) -> Result<String, Failure> {
    let mut text = String::new();
    if let Some(digits) = form.some("SendDigits") {
        if !digits.chars().all(|c| c.is_ascii_digit() || "#*wWABCDabcd".contains(c)) {
            return Err(Failure::parameter("SendDigits", digits, "digits, *, # and w"));
        }
        text.push_str(&format!("<Play digits=\"{digits}\"/>"));
    }
    if form.flag("Record")? == Some(true) {
        let mut recording = Attributes { form, text: String::new() };
        match form.some("RecordingChannels") {
            None => recording.set("channels", "mono"),
            Some(_) => recording.choice("channels", "RecordingChannels", &["mono", "dual"])?,
        }
        recording.callback("recordingStatusCallback", "RecordingStatusCallback")?;
        text.push_str(&format!("<Start><Recording{}/></Start>", recording.text));
    }
    Ok(text)
}

/// The document of one who is called into a conference.
pub fn into_conference(form: &Form, name: &str) -> Result<String, Failure> {
    let mut conference = Attributes { form, text: String::new() };
    conference.flag("muted", "Muted")?;
    conference.flag("startConferenceOnEnter", "StartConferenceOnEnter")?;
    conference.flag("endConferenceOnExit", "EndConferenceOnExit")?;
    conference.choice("beep", "Beep", &["true", "false", "onEnter", "onExit"])?;
    if form.number("MaxParticipants", 2, 250)?.is_some() {
        conference.take("maxParticipants", "MaxParticipants");
    }
    if form.flag("Coaching")? != Some(false) {
        conference.take("coach", "CallSidToCoach");
    }
    conference.take("participantLabel", "Label");
    if let Some(url) = form.get("WaitUrl") {
        conference.set("waitUrl", url);
    }
    conference.choice("waitMethod", "WaitMethod", &["GET", "POST"])?;
    conference.choice("record", "ConferenceRecord", &["true", "false", "record-from-start", "do-not-record"])?;
    conference.choice("trim", "ConferenceTrim", &["trim-silence", "do-not-trim"])?;
    conference.callback("recordingStatusCallback", "ConferenceRecordingStatusCallback")?;
    conference.callback("statusCallback", "ConferenceStatusCallback")?;
    Ok(format!("<Response><Dial><Conference{}>{}</Conference></Dial></Response>", conference.text, escape(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: &str, want: Result<&str, &str>) {
        let form = Form::read(form).unwrap();
        let got = preface(&form).and_then(|first| Ok(format!("{first}{}", into_conference(&form, "a<b")?)));
        let got = got.map_err(|failure| format!("{failure:?}"));
        match (&got, want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            _ => panic!("{got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn fields_become_attributes() {
        let inside =
            |attributes: &str| format!("<Response><Dial><Conference{attributes}>a&lt;b</Conference></Dial></Response>");
        check("To=1", Ok(&inside("")));
        check(
            "Muted=True&Label=x%22y&WaitUrl=",
            Ok(&inside(" muted=\"true\" participantLabel=\"x&quot;y\" waitUrl=\"\"")),
        );
        check(
            "ConferenceRecord=true&ConferenceRecordingStatusCallback=http://a/%26&ConferenceStatusCallbackEvent=start&\
             ConferenceStatusCallbackEvent=end",
            Ok(&inside(
                " record=\"true\" recordingStatusCallback=\"http://a/&amp;\" statusCallbackEvent=\"start end\"",
            )),
        );
        let recording = "<Play digits=\"ww12#\"/><Start><Recording channels=\"mono\"/></Start>";
        check("Record=true&SendDigits=ww12%23", Ok(&format!("{recording}{}", inside(""))));
        check("Record=true&RecordingChannels=three", Err("RecordingChannels"));
        check("SendDigits=%22", Err("SendDigits"));
        check("Beep=loud", Err("Beep"));
        check("MaxParticipants=251", Err("MaxParticipants"));
        check("WaitMethod=PUT", Err("WaitMethod"));
    }
}
