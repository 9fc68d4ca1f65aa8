//! The table of resources that are settings: what each is called, which parameters it takes, what it says beside them.

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    Text,
    /// Kept, and shown to nobody.
    Hidden,
    Bool,
    Number(u64, u64),
    /// GET or POST.
    Method,
    Url,
    /// A resource's number with this prefix; empty for none.
    Sid(&'static str),
    OneOf(&'static [&'static str]),
    Address,
    /// A SIP or SIPS URI.
    Sip,
}

/// One parameter: its field has the same name in `snake_case`.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub takes: Takes,
    pub is_required: bool,
    /// JSON of the value if nobody gives one.
    pub usual: &'static str,
}

/// One kind of resource.
#[derive(Debug)]
pub struct Kind {
    /// Its collection below the account; `*` stands for a resource's number.
    pub path: &'static [&'static str],
    pub prefix: &'static str,
    /// Under which a page has them.
    pub key: &'static str,
    pub parameters: &'static [Parameter],
    /// Further fields, as a JSON object.
    pub says: &'static str,
    /// Collections that are parts of it, for `subresource_uris` and `links`.
    pub parts: &'static [(&'static str, &'static str)],
    pub has_uri: bool,
    pub can_update: bool,
    /// The parameter that names a resource of this collection, of which this one is a mapping.
    pub maps: Option<(&'static str, &'static str)>,
    /// The field that holds its parent's number.
    pub parent_field: Option<&'static str>,
    /// What of it may be searched for.
    pub filters: &'static [&'static str],
}

pub(super) const fn needed(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, is_required: true, usual: "null" }
}

pub(super) const fn may(name: &'static str, takes: Takes, usual: &'static str) -> Parameter {
    Parameter { name, takes, is_required: false, usual }
}

use Takes::{Address, Bool, Hidden, Method, Number, OneOf, Sid, Text, Url};

pub(super) const BASE: Kind = Kind {
    path: &[],
    prefix: "",
    key: "",
    parameters: &[],
    says: "{}",
    parts: &[],
    has_uri: true,
    can_update: true,
    maps: None,
    parent_field: None,
    filters: &[],
};

impl Kind {
    /// Its collection, without the numbers in it: as the store names it.
    pub fn name(&self) -> String {
        self.path.iter().filter(|p| **p != "*").copied().collect::<Vec<_>>().join("/")
    }
}

const VERSION: &str = r#"{"api_version":"2010-04-01"}"#;

static NAMED: [Parameter; 1] = [may("FriendlyName", Text, "\"\"")];

const fn key(name: &'static str) -> Kind {
    Kind { prefix: "SK", key: name, parameters: &NAMED, has_uri: false, ..BASE }
}

const fn mapping(
    path: &'static [&'static str],
    prefix: &'static str,
    key: &'static str,
    maps: (&'static str, &'static str),
    has_uri: bool,
) -> Kind {
    Kind {
        path,
        prefix,
        key,
        has_uri,
        can_update: false,
        maps: Some(maps),
        parent_field: if has_uri { Some("domain_sid") } else { None },
        ..BASE
    }
}

pub(super) const CREDENTIALS: (&str, &str) = ("CredentialListSid", "SIP/CredentialLists");
pub(super) const ADDRESSES: (&str, &str) = ("IpAccessControlListSid", "SIP/IpAccessControlLists");

pub static KINDS: &[Kind] = &[
    Kind {
        path: &["Applications"],
        prefix: "AP",
        key: "applications",
        parameters: &[
            may("FriendlyName", Text, "\"\""),
            may("VoiceUrl", Url, "null"),
            may("VoiceMethod", Method, "\"POST\""),
            may("VoiceFallbackUrl", Url, "null"),
            may("VoiceFallbackMethod", Method, "\"POST\""),
            may("StatusCallback", Url, "null"),
            may("StatusCallbackMethod", Method, "\"POST\""),
            may("VoiceCallerIdLookup", Bool, "false"),
            may("SmsUrl", Url, "null"),
            may("SmsMethod", Method, "\"POST\""),
            may("SmsFallbackUrl", Url, "null"),
            may("SmsFallbackMethod", Method, "\"POST\""),
            may("SmsStatusCallback", Url, "null"),
            may("MessageStatusCallback", Url, "null"),
            may("PublicApplicationConnectEnabled", Bool, "false"),
        ],
        says: VERSION,
        filters: &["FriendlyName"],
        ..BASE
    },
    Kind {
        path: &["IncomingPhoneNumbers"],
        prefix: "PN",
        key: "incoming_phone_numbers",
        parameters: &[
            needed("PhoneNumber", Text),
            may("FriendlyName", Text, "\"\""),
            may("VoiceUrl", Url, "null"),
            may("VoiceMethod", Method, "\"POST\""),
            may("VoiceFallbackUrl", Url, "null"),
            may("VoiceFallbackMethod", Method, "\"POST\""),
            may("StatusCallback", Url, "null"),
            may("StatusCallbackMethod", Method, "\"POST\""),
            may("VoiceCallerIdLookup", Bool, "false"),
            may("VoiceApplicationSid", Sid("AP"), "null"),
            may("VoiceReceiveMode", OneOf(&["voice", "fax"]), "\"voice\""),
            may("SmsApplicationSid", Sid("AP"), "null"),
            may("SmsUrl", Url, "null"),
            may("SmsMethod", Method, "\"POST\""),
            may("SmsFallbackUrl", Url, "null"),
            may("SmsFallbackMethod", Method, "\"POST\""),
            may("TrunkSid", Sid("TK"), "null"),
            may("AddressSid", Sid("AD"), "null"),
            may("IdentitySid", Sid("RI"), "null"),
            may("BundleSid", Sid("BU"), "null"),
            may("EmergencyAddressSid", Sid("AD"), "null"),
            may("EmergencyStatus", OneOf(&["Active", "Inactive"]), "\"Inactive\""),
        ],
        says: r#"{"api_version":"2010-04-01","beta":false,"capabilities":{"voice":true,"sms":false,"mms":false,"fax":false},
            "address_requirements":"none","origin":"tandem","status":"in-use","type":"local",
            "emergency_address_status":"unregistered"}"#,
        filters: &["PhoneNumber", "FriendlyName"],
        ..BASE
    },
    Kind {
        path: &["OutgoingCallerIds"],
        prefix: "PN",
        key: "outgoing_caller_ids",
        parameters: &[needed("PhoneNumber", Text), may("FriendlyName", Text, "\"\"")],
        filters: &["PhoneNumber", "FriendlyName"],
        ..BASE
    },
    Kind { path: &["Keys"], ..key("keys") },
    Kind { path: &["SigningKeys"], ..key("signing_keys") },
    Kind {
        path: &["Queues"],
        prefix: "QU",
        key: "queues",
        parameters: &[needed("FriendlyName", Text), may("MaxSize", Number(1, 5_000), "100")],
        says: r#"{"current_size":0,"average_wait_time":0}"#,
        parts: &[("members", "Members")],
        ..BASE
    },
    Kind {
        path: &["Messages"],
        prefix: "SM",
        key: "messages",
        parameters: &[
            needed("To", Text),
            may("From", Text, "null"),
            may("Body", Text, "\"\""),
            may("MessagingServiceSid", Sid("MG"), "null"),
            may("StatusCallback", Hidden, "null"),
            may("MediaUrl", Hidden, "null"),
            may("Status", OneOf(&["canceled"]), "\"queued\""),
        ],
        says: r#"{"api_version":"2010-04-01","direction":"outbound-api","num_segments":"1","num_media":"0","price":null,
            "price_unit":"USD","error_code":null,"error_message":null,"date_sent":null}"#,
        parts: &[("media", "Media")],
        filters: &["To", "From"],
        ..BASE
    },
    Kind {
        path: &["SIP", "Domains"],
        prefix: "SD",
        key: "domains",
        parameters: &[
            needed("DomainName", Text),
            may("FriendlyName", Text, "\"\""),
            may("VoiceUrl", Url, "null"),
            may("VoiceMethod", Method, "\"POST\""),
            may("VoiceFallbackUrl", Url, "null"),
            may("VoiceFallbackMethod", Method, "\"POST\""),
            may("VoiceStatusCallbackUrl", Url, "null"),
            may("VoiceStatusCallbackMethod", Method, "\"POST\""),
            may("SipRegistration", Bool, "false"),
            may("EmergencyCallingEnabled", Bool, "false"),
            may("Secure", Bool, "false"),
            may("ByocTrunkSid", Sid("BY"), "null"),
            may("EmergencyCallerSid", Sid("PN"), "null"),
        ],
        says: r#"{"api_version":"2010-04-01","auth_type":""}"#,
        parts: &[
            ("credential_list_mappings", "CredentialListMappings"),
            ("ip_access_control_list_mappings", "IpAccessControlListMappings"),
        ],
        ..BASE
    },
    mapping(&["SIP", "Domains", "*", "CredentialListMappings"], "CL", "credential_list_mappings", CREDENTIALS, true),
    mapping(
        &["SIP", "Domains", "*", "IpAccessControlListMappings"],
        "AL",
        "ip_access_control_list_mappings",
        ADDRESSES,
        true,
    ),
    mapping(&["SIP", "Domains", "*", "Auth", "Calls", "CredentialListMappings"], "CL", "contents", CREDENTIALS, false),
    mapping(
        &["SIP", "Domains", "*", "Auth", "Calls", "IpAccessControlListMappings"],
        "AL",
        "contents",
        ADDRESSES,
        false,
    ),
    mapping(
        &["SIP", "Domains", "*", "Auth", "Registrations", "CredentialListMappings"],
        "CL",
        "contents",
        CREDENTIALS,
        false,
    ),
    Kind {
        path: &["SIP", "CredentialLists"],
        prefix: "CL",
        key: "credential_lists",
        parameters: &[needed("FriendlyName", Text)],
        parts: &[("credentials", "Credentials")],
        ..BASE
    },
    Kind {
        path: &["SIP", "CredentialLists", "*", "Credentials"],
        prefix: "CR",
        key: "credentials",
        parameters: &[needed("Username", Text), needed("Password", Hidden)],
        parent_field: Some("credential_list_sid"),
        ..BASE
    },
    Kind {
        path: &["SIP", "IpAccessControlLists"],
        prefix: "AL",
        key: "ip_access_control_lists",
        parameters: &[needed("FriendlyName", Text)],
        parts: &[("ip_addresses", "IpAddresses")],
        ..BASE
    },
    Kind {
        path: &["SIP", "IpAccessControlLists", "*", "IpAddresses"],
        prefix: "IP",
        key: "ip_addresses",
        parameters: &[
            needed("FriendlyName", Text),
            needed("IpAddress", Address),
            may("CidrPrefixLength", Number(0, 128), "32"),
        ],
        parent_field: Some("ip_access_control_list_sid"),
        ..BASE
    },
];
