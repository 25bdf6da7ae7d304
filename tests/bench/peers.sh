#!/usr/bin/env bash
# Debian's Postfix and Dovecot as the yardstick: loopback only, high ports, durability as packaged.
#
#   peers.sh up FOLDER ACCOUNTS.csv    starts them, writes FOLDER/env
#   peers.sh down FOLDER/env           stops them by their own control programs, removes FOLDER
#
# Needs root: Postfix changes users.
set -euo pipefail

SMTP_PORT=4525 IMAP_PORT=4143 IMAPS_PORT=4993 POP3_PORT=4110 LMTP_PORT=4424
MAIL_USER=5000

if [ "$1" = down ]; then
    . "$2"
    postfix -c "$FOLDER/postfix/etc" stop >/dev/null 2>&1 || true
    doveadm -c "$FOLDER/dovecot.conf" stop >/dev/null 2>&1 || true
    for pid in $PIDS; do
        for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    done
    rm -rf -- "$FOLDER"
    exit 0
fi

FOLDER=$2 ACCOUNTS=$3
[ "$(id -u)" = 0 ] || { echo 'Postfix needs root; run as root, or measure alone with --alone' >&2; exit 1; }
mkdir -p "$FOLDER"/{mail,log,run} "$FOLDER"/postfix/{etc,queue,data}
chmod 711 "$FOLDER" "$FOLDER/postfix"
chown $MAIL_USER:$MAIL_USER "$FOLDER/mail"
chown postfix "$FOLDER/postfix/data"
sed 's/^\([^,]*\),\(.*\)$/\1:{PLAIN}\2/' "$ACCOUNTS" >"$FOLDER/users"
sed 's/,.*/ 1/' "$ACCOUNTS" >"$FOLDER/mailboxes"
DOMAIN=$(head -n 1 "$ACCOUNTS" | sed 's/.*@\([^,]*\),.*/\1/')

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=mx.$DOMAIN" \
    -keyout "$FOLDER/key.pem" -out "$FOLDER/cert.pem" 2>/dev/null

cat >"$FOLDER/dovecot.conf" <<CONF
base_dir = $FOLDER/run
state_dir = $FOLDER/run
instance_name = twinmail-bench
log_path = $FOLDER/log/dovecot.log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <$FOLDER/cert.pem
ssl_key = <$FOLDER/key.pem
mail_location = mdbox:$FOLDER/mail/%u
mail_uid = $MAIL_USER
mail_gid = $MAIL_USER
first_valid_uid = $MAIL_USER
disable_plaintext_auth = no
mail_max_userip_connections = 1000
passdb {
  driver = passwd-file
  args = username_format=%u $FOLDER/users
}
userdb {
  driver = static
  args = uid=$MAIL_USER gid=$MAIL_USER home=$FOLDER/mail/%u
}
namespace inbox {
  inbox = yes
}
service imap-login {
  inet_listener imap {
    port = $IMAP_PORT
  }
  inet_listener imaps {
    port = $IMAPS_PORT
  }
}
service pop3-login {
  inet_listener pop3 {
    port = $POP3_PORT
  }
  inet_listener pop3s {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = $LMTP_PORT
  }
}
CONF
dovecot -c "$FOLDER/dovecot.conf"

cat >"$FOLDER/postfix/etc/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $FOLDER/postfix/queue
data_directory = $FOLDER/postfix/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mx.$DOMAIN
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
alias_maps =
default_transport = error:nothing leaves the bench
virtual_mailbox_domains = $DOMAIN
virtual_mailbox_maps = hash:$FOLDER/mailboxes
virtual_transport = lmtp:inet:127.0.0.1:$LMTP_PORT
maillog_file = $FOLDER/log/postfix.log
maillog_file_prefixes = $FOLDER/log
CONF
# The packaged master.cf without chroot, its SMTP listener on the high port.
awk -v listener="127.0.0.1:$SMTP_PORT" '
    /^[ \t]*#/ || NF == 0 { next }
    $1 == "smtp" && $2 == "inet" { print listener " inet n - n - - smtpd"; next }
    /^[^ \t]/ && NF >= 8 { if ($1 ~ /^(uucp|ifmail|bsmtp|scalemail-backend|mailman|maildrop)$/) next; $5 = "n" }
    /^[ \t]/ { next }
    { print }' /usr/share/postfix/master.cf.dist >"$FOLDER/postfix/etc/master.cf"
grep -q '^postlog' "$FOLDER/postfix/etc/master.cf" ||
    echo 'postlog unix-dgram n - n - 1 postlogd' >>"$FOLDER/postfix/etc/master.cf"
postmap "hash:$FOLDER/mailboxes"
postfix -c "$FOLDER/postfix/etc" set-permissions >/dev/null 2>&1 || true
postfix -c "$FOLDER/postfix/etc" start >"$FOLDER/log/start.log" 2>&1

wait_for() { for _ in $(seq 100); do [ -s "$1" ] && return; sleep 0.1; done; echo "no $1" >&2; exit 1; }
wait_for "$FOLDER/run/master.pid"
wait_for "$FOLDER/postfix/queue/pid/master.pid"
PIDS="$(cat "$FOLDER/run/master.pid") $(tr -d ' ' <"$FOLDER/postfix/queue/pid/master.pid")"
printf '%s="%s"\n' FOLDER "$FOLDER" PIDS "$PIDS" SMTP_PORT $SMTP_PORT IMAP_PORT $IMAP_PORT \
    IMAPS_PORT $IMAPS_PORT POP3_PORT $POP3_PORT >"$FOLDER/env"
