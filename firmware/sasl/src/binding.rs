//! What a TLS connection can be bound to.

use std::fmt;

/// A type of channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingType {
    /// Exported keying material of the connection (RFC 9266).
    TlsExporter,
    /// Hash of the server's certificate (RFC 5929 4).
    TlsServerEndPoint,
}

impl BindingType {
    /// The name as registered.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::TlsExporter, Self::TlsServerEndPoint].into_iter().find(|one| one.name() == name)
    }
}

/// The binding data of one connection; empty in clear.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChannelBinding {
    /// 32 octets exported under the label `EXPORTER-Channel-Binding` with an empty context (RFC 9266 2).
    /// Only of TLS 1.3: before that it is not unique without the extended master secret.
    pub tls_exporter: Option<[u8; 32]>,
    /// Hash of the server's certificate in DER, with the hash of its signature, SHA-256 instead of MD5
    /// and SHA-1 (RFC 5929 4.1).
    pub tls_server_end_point: Option<Vec<u8>>,
}

impl ChannelBinding {
    /// The label to export under for [`Self::tls_exporter`].
    pub const EXPORTER_LABEL: &'static [u8] = b"EXPORTER-Channel-Binding";

    /// Whether there is nothing to bind to.
    pub fn is_empty(&self) -> bool {
        self.tls_exporter.is_none() && self.tls_server_end_point.is_none()
    }

    /// The data of a type, if there is any.
    pub fn data(&self, of: BindingType) -> Option<&[u8]> {
        match of {
            BindingType::TlsExporter => self.tls_exporter.as_ref().map(<[u8; 32]>::as_slice),
            BindingType::TlsServerEndPoint => self.tls_server_end_point.as_deref(),
        }
    }

    /// The strongest type there is data for.
    pub fn strongest(&self) -> Option<BindingType> {
        [BindingType::TlsExporter, BindingType::TlsServerEndPoint]
            .into_iter()
            .find(|one| self.data(*one).is_some())
    }
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBinding")
            .field("tls_exporter", &self.tls_exporter.is_some())
            .field("tls_server_end_point", &self.tls_server_end_point.is_some())
            .finish()
    }
}
