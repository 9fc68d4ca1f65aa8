//! Every element of voice markup, what stands in it and with which attributes. A table, so that what is unknown can be told from
//! what is known and does nothing yet.

/// One element in one place.
#[derive(Debug)]
pub struct Element {
    /// Its name here: that of the element, but for two that share one.
    pub key: &'static str,
    pub name: &'static str,
    pub attributes: &'static [&'static str],
    /// By their keys.
    pub children: &'static [&'static str],
    /// Whether text in it means something.
    pub has_text: bool,
}

/// The element of a name in a parent; `None` as the parent is the document.
pub fn find(parent: Option<&Element>, name: &str) -> Option<&'static Element> {
    match parent {
        None => ELEMENTS.iter().find(|e| e.key == "VoiceResponse" && e.name == name),
        Some(parent) => {
            let mut children = parent.children.iter().filter_map(|key| ELEMENTS.iter().find(|e| e.key == *key));
            children.find(|e| e.name == name)
        }
    }
}

#[rustfmt::skip]
pub static ELEMENTS: &[Element] = &[
    Element {
        key: "VoiceResponse",
        name: "Response",
        attributes: &[],
        children: &[
            "Connect", "Dial", "Echo", "Enqueue", "Gather", "Hangup", "Leave", "Pause", "Pay", "Play", "Prompt",
            "Queue", "Record", "Redirect", "Refer", "Reject", "Say", "Sms", "Start", "Stop",
        ],
        has_text: false,
    },
    Element {
        key: "Refer",
        name: "Refer",
        attributes: &["action", "method"],
        children: &["ReferSip"],
        has_text: false,
    },
    Element {
        key: "ReferSip",
        name: "Sip",
        attributes: &[],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Stop",
        name: "Stop",
        attributes: &[],
        children: &["Siprec", "Stream", "Transcription"],
        has_text: false,
    },
    Element {
        key: "Transcription",
        name: "Transcription",
        attributes: &[
            "name", "track", "statusCallbackUrl", "statusCallbackMethod", "inboundTrackLabel", "outboundTrackLabel",
            "partialResults", "languageCode", "transcriptionEngine", "profanityFilter", "speechModel", "hints",
            "enableAutomaticPunctuation", "intelligenceService",
        ],
        children: &["Config", "Parameter"],
        has_text: false,
    },
    Element {
        key: "Parameter",
        name: "Parameter",
        attributes: &["name", "value"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Config",
        name: "Config",
        attributes: &["name", "value"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Siprec",
        name: "Siprec",
        attributes: &["name", "connectorName", "track", "statusCallback", "statusCallbackMethod"],
        children: &["Parameter"],
        has_text: false,
    },
    Element {
        key: "Stream",
        name: "Stream",
        attributes: &[
            "name", "connectorName", "url", "track", "statusCallback", "statusCallbackMethod", "audioFormat",
            "sampleRate",
        ],
        children: &["Parameter"],
        has_text: false,
    },
    Element {
        key: "Start",
        name: "Start",
        attributes: &["action", "method"],
        children: &["Recording", "Siprec", "Stream", "Transcription"],
        has_text: false,
    },
    Element {
        key: "Recording",
        name: "Recording",
        attributes: &[
            "recordingStatusCallback", "recordingStatusCallbackMethod", "recordingStatusCallbackEvent", "trim",
            "track", "channels", "recordingConfigurationId",
        ],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Prompt",
        name: "Prompt",
        attributes: &["for", "errorType", "cardType", "attempt", "requireMatchingInputs"],
        children: &["Pause", "Play", "Say"],
        has_text: false,
    },
    Element {
        key: "Pause",
        name: "Pause",
        attributes: &["length"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Play",
        name: "Play",
        attributes: &["loop", "digits"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Say",
        name: "Say",
        attributes: &["voice", "loop", "language"],
        children: &[
            "SsmlBreak", "SsmlEmphasis", "SsmlLang", "SsmlP", "SsmlPhoneme", "SsmlProsody", "SsmlS", "SsmlSayAs",
            "SsmlSub", "SsmlW",
        ],
        has_text: true,
    },
    Element {
        key: "SsmlW",
        name: "w",
        attributes: &["role"],
        children: &["SsmlBreak", "SsmlEmphasis", "SsmlPhoneme", "SsmlProsody", "SsmlSayAs", "SsmlSub"],
        has_text: true,
    },
    Element {
        key: "SsmlSub",
        name: "sub",
        attributes: &["alias"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "SsmlSayAs",
        name: "say-as",
        attributes: &["interpret-as", "format"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "SsmlProsody",
        name: "prosody",
        attributes: &["volume", "rate", "pitch"],
        children: &[
            "SsmlBreak", "SsmlEmphasis", "SsmlLang", "SsmlP", "SsmlPhoneme", "SsmlProsody", "SsmlS", "SsmlSayAs",
            "SsmlSub", "SsmlW",
        ],
        has_text: true,
    },
    Element {
        key: "SsmlS",
        name: "s",
        attributes: &[],
        children: &[
            "SsmlBreak", "SsmlEmphasis", "SsmlLang", "SsmlPhoneme", "SsmlProsody", "SsmlSayAs", "SsmlSub", "SsmlW",
        ],
        has_text: true,
    },
    Element {
        key: "SsmlPhoneme",
        name: "phoneme",
        attributes: &["alphabet", "ph"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "SsmlLang",
        name: "lang",
        attributes: &["xml:lang"],
        children: &[
            "SsmlBreak", "SsmlEmphasis", "SsmlLang", "SsmlP", "SsmlPhoneme", "SsmlProsody", "SsmlS", "SsmlSayAs",
            "SsmlSub", "SsmlW",
        ],
        has_text: true,
    },
    Element {
        key: "SsmlP",
        name: "p",
        attributes: &[],
        children: &[
            "SsmlBreak", "SsmlEmphasis", "SsmlLang", "SsmlPhoneme", "SsmlProsody", "SsmlS", "SsmlSayAs", "SsmlSub",
            "SsmlW",
        ],
        has_text: true,
    },
    Element {
        key: "SsmlEmphasis",
        name: "emphasis",
        attributes: &["level"],
        children: &[
            "SsmlBreak", "SsmlEmphasis", "SsmlLang", "SsmlPhoneme", "SsmlProsody", "SsmlSayAs", "SsmlSub", "SsmlW",
        ],
        has_text: true,
    },
    Element {
        key: "SsmlBreak",
        name: "break",
        attributes: &["strength", "time"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Pay",
        name: "Pay",
        attributes: &[
            "input", "action", "bankAccountType", "statusCallback", "statusCallbackMethod", "timeout",
            "maxAttempts", "securityCode", "postalCode", "minPostalCodeLength", "paymentConnector", "paymentMethod",
            "tokenType", "chargeAmount", "currency", "description", "validCardTypes", "language",
        ],
        children: &["Parameter", "Prompt"],
        has_text: false,
    },
    Element {
        key: "Sms",
        name: "Sms",
        attributes: &["to", "from", "action", "method", "statusCallback"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Reject",
        name: "Reject",
        attributes: &["reason"],
        children: &["Parameter"],
        has_text: false,
    },
    Element {
        key: "Redirect",
        name: "Redirect",
        attributes: &["method"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Record",
        name: "Record",
        attributes: &[
            "action", "method", "timeout", "finishOnKey", "maxLength", "playBeep", "trim",
            "recordingStatusCallback", "recordingStatusCallbackMethod", "recordingStatusCallbackEvent",
            "transcribe", "transcribeCallback", "recordingConfigurationId",
        ],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Queue",
        name: "Queue",
        attributes: &["url", "method", "reservationSid", "postWorkActivitySid"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Leave",
        name: "Leave",
        attributes: &[],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Hangup",
        name: "Hangup",
        attributes: &[],
        children: &["Parameter"],
        has_text: false,
    },
    Element {
        key: "Gather",
        name: "Gather",
        attributes: &[
            "input", "action", "method", "timeout", "speechTimeout", "maxSpeechTime", "profanityFilter",
            "finishOnKey", "numDigits", "partialResultCallback", "partialResultCallbackMethod", "language", "hints",
            "bargeIn", "debug", "actionOnEmptyResult", "speechModel", "enhanced",
        ],
        children: &["Pause", "Play", "Say"],
        has_text: false,
    },
    Element {
        key: "Enqueue",
        name: "Enqueue",
        attributes: &["action", "maxQueueSize", "method", "waitUrl", "waitUrlMethod", "workflowSid"],
        children: &["Task"],
        has_text: true,
    },
    Element {
        key: "Task",
        name: "Task",
        attributes: &["priority", "timeout"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Echo",
        name: "Echo",
        attributes: &[],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Dial",
        name: "Dial",
        attributes: &[
            "action", "method", "timeout", "hangupOnStar", "timeLimit", "callerId", "record", "trim",
            "recordingStatusCallback", "recordingConfigurationId", "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent", "answerOnBridge", "ringTone", "recordingTrack", "sequential",
            "referUrl", "referMethod", "events", "passports",
        ],
        children: &["Application", "Client", "Conference", "Number", "Queue", "Sim", "Sip", "WhatsApp"],
        has_text: true,
    },
    Element {
        key: "WhatsApp",
        name: "WhatsApp",
        attributes: &["url", "method", "statusCallbackEvent", "statusCallback", "statusCallbackMethod"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Application",
        name: "Application",
        attributes: &[
            "url", "method", "statusCallbackEvent", "statusCallback", "statusCallbackMethod", "customerId",
            "copyParentTo",
        ],
        children: &["ApplicationSid", "Parameter"],
        has_text: true,
    },
    Element {
        key: "ApplicationSid",
        name: "ApplicationSid",
        attributes: &[],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Sip",
        name: "Sip",
        attributes: &[
            "username", "password", "url", "method", "statusCallbackEvent", "statusCallback",
            "statusCallbackMethod", "machineDetection", "amdStatusCallbackMethod", "amdStatusCallback",
            "machineDetectionTimeout", "machineDetectionSpeechThreshold", "machineDetectionSpeechEndThreshold",
            "machineDetectionSilenceTimeout",
        ],
        children: &["Headers", "SipUri"],
        has_text: true,
    },
    Element {
        key: "Headers",
        name: "Headers",
        attributes: &[],
        children: &["Header"],
        has_text: false,
    },
    Element {
        key: "Header",
        name: "Header",
        attributes: &["name", "value"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "SipUri",
        name: "Uri",
        attributes: &["priority", "weight", "username", "password"],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Sim",
        name: "Sim",
        attributes: &[],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Number",
        name: "Number",
        attributes: &[
            "sendDigits", "url", "method", "statusCallbackEvent", "statusCallback", "statusCallbackMethod", "byoc",
            "machineDetection", "amdStatusCallbackMethod", "amdStatusCallback", "machineDetectionTimeout",
            "machineDetectionSpeechThreshold", "machineDetectionSpeechEndThreshold",
            "machineDetectionSilenceTimeout",
        ],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Conference",
        name: "Conference",
        attributes: &[
            "muted", "beep", "startConferenceOnEnter", "endConferenceOnExit", "waitUrl", "waitMethod",
            "maxParticipants", "record", "recordingConfigurationId", "region", "coach", "trim",
            "statusCallbackEvent", "statusCallback", "statusCallbackMethod", "recordingStatusCallback",
            "recordingStatusCallbackMethod", "recordingStatusCallbackEvent", "eventCallbackUrl", "jitterBufferSize",
            "participantLabel",
        ],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Client",
        name: "Client",
        attributes: &["url", "method", "statusCallbackEvent", "statusCallback", "statusCallbackMethod"],
        children: &["Identity", "Parameter"],
        has_text: true,
    },
    Element {
        key: "Identity",
        name: "Identity",
        attributes: &[],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Connect",
        name: "Connect",
        attributes: &["action", "method"],
        children: &[
            "AiSession", "Autopilot", "Conversation", "ConversationRelay", "ConversationRelaySession", "Room",
            "Stream", "VirtualAgent",
        ],
        has_text: false,
    },
    Element {
        key: "ConversationRelaySession",
        name: "ConversationRelaySession",
        attributes: &["connector", "sessionConfiguration"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "AiSession",
        name: "AiSession",
        attributes: &["aiConnector", "aiSessionConfiguration"],
        children: &[],
        has_text: false,
    },
    Element {
        key: "ConversationRelay",
        name: "ConversationRelay",
        attributes: &[
            "url", "language", "ttsLanguage", "transcriptionLanguage", "ttsProvider", "voice",
            "transcriptionProvider", "speechModel", "profanityFilter", "dtmfDetection", "welcomeGreeting",
            "partialPrompts", "welcomeGreetingInterruptible", "interruptible", "preemptible", "hints",
            "intelligenceService", "reportInputDuringAgentSpeech", "elevenlabsTextNormalization",
            "interruptSensitivity", "debug", "backgroundNoiseReduction", "speechTimeout", "deepgramSmartFormat",
            "ignoreBackchannel", "events", "partialPromptOnHangup", "eagerEotThreshold", "asrSmartFormat",
            "ttsTextNormalization", "ttsLanguageTextNormalization", "elevenlabsLanguageTextNormalization",
            "includeInPrompt", "customerName", "applicationReconnect", "echoPromptFiltering", "turnDetection",
        ],
        children: &["Language", "Parameter"],
        has_text: false,
    },
    Element {
        key: "Language",
        name: "Language",
        attributes: &[
            "code", "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints", "asrSmartFormat",
            "ttsTextNormalization", "ttsLanguageTextNormalization",
        ],
        children: &[],
        has_text: false,
    },
    Element {
        key: "Conversation",
        name: "Conversation",
        attributes: &[
            "serviceInstanceSid", "inboundAutocreation", "routingAssignmentTimeout", "inboundTimeout", "url",
            "method", "record", "trim", "recordingStatusCallback", "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent", "statusCallback", "statusCallbackMethod", "statusCallbackEvent",
        ],
        children: &[],
        has_text: false,
    },
    Element {
        key: "VirtualAgent",
        name: "VirtualAgent",
        attributes: &["connectorName", "language", "sentimentAnalysis", "statusCallback", "statusCallbackMethod"],
        children: &["Config", "Parameter"],
        has_text: false,
    },
    Element {
        key: "Autopilot",
        name: "Autopilot",
        attributes: &[],
        children: &[],
        has_text: true,
    },
    Element {
        key: "Room",
        name: "Room",
        attributes: &["participantIdentity"],
        children: &[],
        has_text: true,
    },
];
