//! A name server that knows a few domains: each has one MX, `mx.` and its own name.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, MX, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

pub struct NameServer {
    pub address: SocketAddr,
    more: Arc<Mutex<Vec<(String, Entry)>>>,
}

/// One record of a name.
#[derive(Debug, Clone)]
pub enum Entry {
    Mx(u16, String),
    Address(IpAddr),
    Alias(String),
    Text(String),
    /// The name exists, and nothing of it.
    Nothing,
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
        let more: Arc<Mutex<Vec<(String, Entry)>>> = Arc::default();
        let entries = Arc::clone(&more);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                if let Ok(query) = Message::from_vec(&buffer[..length]) {
                    let mut reply = answer(&query, &domains, &texts);
                    add(&mut reply, &entries.lock().unwrap());
                    let answer = reply.to_vec().unwrap();
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Self { address, more }
    }

    /// Adds a record; it is known from now on.
    pub fn add(&self, name: &str, entry: Entry) {
        self.more.lock().unwrap().push((name.to_owned(), entry));
    }
}

/// The added records that answer the question, along aliases.
fn add(reply: &mut Message, entries: &[(String, Entry)]) {
    let question = reply.queries[0].clone();
    let mut name = question.name().to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned();
    for _ in 0..5 {
        let mut next = None;
        for (_, entry) in entries.iter().filter(|(owner, _)| *owner == name) {
            reply.metadata.response_code = ResponseCode::NoError;
            let data = match (question.query_type(), entry) {
                (RecordType::MX, Entry::Mx(preference, host)) => {
                    RData::MX(MX::new(*preference, Name::from_ascii(format!("{host}.")).unwrap()))
                }
                (RecordType::A, Entry::Address(IpAddr::V4(v4))) => RData::A((*v4).into()),
                (RecordType::AAAA, Entry::Address(IpAddr::V6(v6))) => RData::AAAA((*v6).into()),
                (RecordType::TXT, Entry::Text(text)) => {
                    let pieces = text.as_bytes().chunks(255);
                    RData::TXT(TXT::new(
                        pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect(),
                    ))
                }
                (_, Entry::Alias(target)) => {
                    next = Some(target.clone());
                    RData::CNAME(CNAME(Name::from_ascii(format!("{target}.")).unwrap()))
                }
                _ => continue,
            };
            reply.answers.push(Record::from_rdata(Name::from_ascii(format!("{name}.")).unwrap(), 60, data));
        }
        match next {
            Some(target) => name = target,
            None => return,
        }
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
