//! Seeds that once failed, and why. A change of how worlds are sampled makes other worlds of them; what they showed is then
//! to be looked for in tests/scenarios.

pub const SEEDS: &[(u64, &str)] = &[
    (9, "each retransmitted 2xx of a fork got a BYE of its own"),
    (75, "direct media: an offer in the 2xx was acknowledged before the caller had answered it"),
    (226, "a prompt before the answer to an INVITE without an offer waited for an ACK that cannot come"),
    (414, "the 2xx to an earlier re-INVITE was sent again after the end of its dialog"),
    (642, "a fork's 2xx was dropped because its call was over"),
    (
        1104,
        "a fork answered after its call was over: ACK came through, the only BYE was lost, and its phone stayed in the call",
    ),
    (1347, "a fork was hung up again after the end of its call"),
    (2056, "a caller whose ACK was outstanding kept hearing a leg that was closed"),
    (
        7237,
        "a caller that owed the answer to our offer was transferred into a conference, and its media stayed on another shard",
    ),
];
