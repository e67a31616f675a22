#!/bin/sh
# prune.sh: takes out of the base image what only installs, builds or explains. What stays: libc,
# Python, a shell, certificates, time zones, licences, and the list of Debian's packages for
# scanners. Two layouts: Debian's Python in /usr, the public image's in /usr/local.
set -eu

# Installers.
for python in /usr/lib/python3/dist-packages /usr/local/lib/python3.11/site-packages; do
  [ ! -d "$python" ] || find "$python" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
done
for python in /usr/lib/python3.11 /usr/local/lib/python3.11; do
  rm -rf "$python/ensurepip" "$python/idlelib" "$python/lib2to3" "$python/pydoc_data" \
         "$python/tkinter" "$python/turtledemo" "$python/test"
done
rm -rf /usr/share/python-wheels /usr/local/bin/pip* /usr/bin/pip* /usr/lib/apt /usr/bin/apt* \
       /var/cache/* /var/lib/apt/lists/* /var/log/*

# Perl, which Debian's own installers are written in, and character sets that only iconv needs.
rm -rf /usr/bin/perl* /usr/share/perl* /usr/lib/*-linux-gnu/perl* /usr/lib/*-linux-gnu/libperl* \
       /usr/lib/*-linux-gnu/gconv
rm -rf /usr/share/man /usr/share/info /usr/share/locale /root/.cache

# Nobody becomes anybody else.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
