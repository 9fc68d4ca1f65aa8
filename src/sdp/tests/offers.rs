//! Offers in the manner of common equipment, with addresses from RFC 5737 and RFC 3849.

pub const SIPP: &str = "v=0\r\no=user1 53655765 2353687637 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\n\
t=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

pub const ASTERISK: &str = "v=0\r\no=- 1443498183 1443498183 IN IP4 192.0.2.11\r\ns=Asterisk\r\nc=IN IP4 192.0.2.11\r\n\
t=0 0\r\nm=audio 11424 RTP/AVP 0 8 3 111 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:3 GSM/8000\r\na=rtpmap:111 G726-32/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
a=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n";

pub const FREESWITCH: &str = "v=0\r\no=FreeSWITCH 1700000000 1700000001 IN IP4 192.0.2.12\r\ns=FreeSWITCH\r\n\
c=IN IP4 192.0.2.12\r\nt=0 0\r\nm=audio 24142 RTP/AVP 102 0 8 103 101\r\na=rtpmap:102 opus/48000/2\r\n\
a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\n\
a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-16\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n";

pub const CISCO: &str = "v=0\r\no=CiscoSystemsSIP-GW-UserAgent 5366 9218 IN IP4 192.0.2.13\r\ns=SIP Call\r\n\
c=IN IP4 192.0.2.13\r\nt=0 0\r\nm=audio 18426 RTP/AVP 18 8 0 100 19\r\nc=IN IP4 192.0.2.13\r\n\
a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:100 telephone-event/8000\r\na=fmtp:100 0-16\r\na=rtpmap:19 CN/8000\r\n";

pub const POLYCOM: &str = "v=0\r\no=- 1189525284 1189525284 IN IP4 192.0.2.14\r\ns=Polycom IP Phone\r\n\
c=IN IP4 192.0.2.14\r\nt=0 0\r\na=sendrecv\r\nm=audio 2250 RTP/AVP 9 102 0 8 18 127\r\na=rtpmap:9 G722/8000\r\n\
a=rtpmap:102 G7221/16000\r\na=fmtp:102 bitrate=32000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:127 telephone-event/8000\r\n";

pub const LINPHONE: &str = "v=0\r\no=alice 3203 2413 IN IP4 192.0.2.15\r\ns=Talk\r\nc=IN IP4 192.0.2.15\r\nt=0 0\r\n\
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\na=record:off\r\n\
m=audio 7078 RTP/AVP 96 0 8 97 98\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
a=rtpmap:97 telephone-event/48000\r\na=rtpmap:98 telephone-event/8000\r\na=rtcp-fb:* trr-int 5000\r\n\
m=video 9078 RTP/AVP 99\r\na=rtpmap:99 VP8/90000\r\n";

pub const BARESIP: &str = "v=0\r\no=- 1606741811 1206823123 IN IP4 192.0.2.16\r\ns=-\r\nc=IN IP4 192.0.2.16\r\n\
t=0 0\r\na=tool:baresip 1.0.0\r\nm=audio 14832 RTP/AVP 96 0 8 101\r\nb=AS:125\r\na=rtpmap:96 opus/48000/2\r\n\
a=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:14833\r\na=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\n\
a=ssrc:1943431545 cname:sip:bob@192.0.2.16\r\na=ptime:20\r\na=minptime:10\r\n";

pub const GRANDSTREAM: &str = "v=0\r\no=100 8000 8000 IN IP4 192.0.2.21\r\ns=SIP Call\r\nc=IN IP4 192.0.2.21\r\n\
t=0 0\r\nm=audio 5004 RTP/AVP 8 0 101\r\na=sendrecv\r\na=rtpmap:8 PCMA/8000\r\na=ptime:30\r\n\
a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

pub const CHROME: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
a=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n\
c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlYW\r\n\
a=ice-options:trickle\r\na=fingerprint:sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E:05:E9:26:33:E8:70:88:A2\r\n\
a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\n\
a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n\
a=rtpmap:126 telephone-event/8000\r\na=ssrc:3510681183 cname:loqPWNg7JMmrFUnr\r\n";

pub const T38: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.23\r\ns=-\r\nc=IN IP4 192.0.2.23\r\nt=0 0\r\n\
m=image 4000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\n\
a=T38FaxMaxDatagram:1400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";

pub const T38_SWITCH: &str = "v=0\r\no=- 1 3 IN IP4 192.0.2.23\r\ns=-\r\nc=IN IP4 192.0.2.23\r\nt=0 0\r\n\
m=audio 0 RTP/AVP 0\r\nm=image 4000 UDPTL t38\r\n";

pub const HOLD_2543: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.24\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
m=audio 5000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

pub const SECURE_AND_PLAIN: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.17\r\ns=-\r\nc=IN IP4 192.0.2.17\r\nt=0 0\r\n\
m=audio 7000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20\r\n\
m=audio 7002 RTP/AVP 8\r\nm=video 7004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

pub const G729_ONLY: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.18\r\ns=-\r\nc=IN IP4 192.0.2.18\r\nt=0 0\r\n\
m=audio 8000 RTP/AVP 18 96\r\na=fmtp:18 annexb=no\r\na=rtpmap:96 telephone-event/8000\r\n";

pub const IPV6: &str = "v=0\r\no=- 1 1 IN IP6 2001:db8::20\r\ns=-\r\nc=IN IP6 2001:db8::20\r\nt=0 0\r\n\
m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp:40010 IN IP6 2001:db8::20\r\n";

pub const BARE: &str =
    "v=0\no=x\nm=audio 9000/1 rtp/avp 0 97\nc=IN IP4 192.0.2.19/127\nz=0 0\ngarbage\na=rtpmap:97\n\n";

/// Number 0 is not PCMU here.
pub const REMAPPED: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.22\r\ns=-\r\nc=IN IP4 192.0.2.22\r\nt=0 0\r\n\
m=audio 9000 RTP/AVP 0 0\r\na=rtpmap:0 pcma/8000\r\n";

pub const ALL: [&str; 15] = [
    SIPP,
    ASTERISK,
    FREESWITCH,
    CISCO,
    POLYCOM,
    LINPHONE,
    BARESIP,
    GRANDSTREAM,
    CHROME,
    T38,
    T38_SWITCH,
    HOLD_2543,
    SECURE_AND_PLAIN,
    G729_ONLY,
    IPV6,
];
