#!/bin/sh
# install.sh: the user, the folders and the units; starts nothing. Run it as root, again after an update.
# install.sh --check: whether it could; changes nothing.
set -eu
umask 022
cd "$(dirname "$0")"

fail() { printf '%s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "This needs root. Type:  sudo make install   (or, as root: make install)"
command -v systemd-sysusers >/dev/null || fail "There is no systemd here; start 'lineside run FILE' by other means."
[ "${1:-}" != --check ] || exit 0
venv=/opt/lineside/venv
[ -x $venv/bin/lineside ] || fail "There is no $venv/bin/lineside. Type:  sudo make install"
case "$(readlink -f $venv/bin/python)" in
    /root/* | /home/*) fail "The Python of $venv lies in a home directory, which the units cannot read.
Remove $venv and type:  sudo make PYTHON=/usr/bin/python3 install" ;;
esac

install -D -m 644 lineside.sysusers /etc/sysusers.d/lineside.conf
systemd-sysusers /etc/sysusers.d/lineside.conf
runuser -u lineside -- $venv/bin/lineside --version >/dev/null ||
    fail "The user lineside cannot start $venv/bin/lineside. Type:  sudo chmod -R go+rX /opt/lineside"
install -d -m 750 -g lineside /etc/lineside
install -m 644 lineside@.service lineside-board@.service /etc/systemd/system/
install -D -m 644 70-lineside-guns.rules /etc/udev/rules.d/70-lineside-guns.rules
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ ! -S /run/udev/control ] || udevadm control --reload

cat <<END
Lineside is installed. For a line that is described in press-hall.toml, as root:
  install -m 640 -g lineside press-hall.toml /etc/lineside/
  $venv/bin/lineside check /etc/lineside/press-hall.toml
  systemctl enable --now lineside@press-hall lineside-board@press-hall
END
