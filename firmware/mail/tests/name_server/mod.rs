//! A name server that knows a few domains: each has one MX, `mx.` and its own name.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr, UdpSocket};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{MX, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

pub struct NameServer {
    pub address: SocketAddr,
}

impl NameServer {
    /// Answers until the test's process ends.
    pub fn start(domains: Vec<(String, IpAddr)>) -> Self {
        Self::with_texts(domains, Vec::new())
    }

    /// The same with TXT records; a text of `SERVFAIL` makes every question about its name fail.
    pub fn with_texts(domains: Vec<(String, IpAddr)>, texts: Vec<(String, String)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                if let Ok(query) = Message::from_vec(&buffer[..length]) {
                    let answer = answer(&query, &domains, &texts).to_vec().unwrap();
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Self { address }
    }
}

fn answer(query: &Message, domains: &[(String, IpAddr)], texts: &[(String, String)]) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    let question = query.queries[0].clone();
    let name = question.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.').to_owned();
    let mut known = false;
    for (domain, address) in domains {
        let host = format!("mx.{domain}");
        known |= name == *domain || name == host;
        let data = match (question.query_type(), address) {
            (RecordType::MX, _) if name == *domain => {
                RData::MX(MX::new(10, Name::from_ascii(format!("{host}.")).unwrap()))
            }
            (RecordType::A, IpAddr::V4(v4)) if name == host => RData::A((*v4).into()),
            _ => continue,
        };
        reply.answers.push(Record::from_rdata(question.name().clone(), 60, data));
    }
    for (_, text) in texts.iter().filter(|(owner, _)| *owner == name) {
        known = true;
        if text == "SERVFAIL" {
            reply.metadata.response_code = ResponseCode::ServFail;
        } else if question.query_type() == RecordType::TXT {
            let data = RData::TXT(TXT::new(vec![text.clone()]));
            reply.answers.push(Record::from_rdata(question.name().clone(), 60, data));
        }
    }
    if !known {
        reply.metadata.response_code = ResponseCode::NXDomain;
    }
    reply.queries.push(question);
    reply
}
