#!/usr/bin/env bash
# Makes build/package/weir_VERSION_ARCH.deb and weir-VERSION-linux-ARCH.tar.gz out of build/release/bin/weir.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=build/release/bin/weir
version=$("$binary" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')
arch=$(dpkg --print-architecture)
out=build/package
tree=$out/tree
rm -rf "$out"
mkdir -p "$tree"/{DEBIAN,usr/bin,etc/weir,lib/systemd/system,usr/share/doc/weir}

strip -o "$tree/usr/bin/weir" "$binary"
install -m 644 packaging/server.properties "$tree/etc/weir/"
install -m 644 packaging/weir.service "$tree/lib/systemd/system/"
install -m 644 README.md "$tree/usr/share/doc/weir/"
install -m 644 LICENSE "$tree/usr/share/doc/weir/copyright"

# The packages that own the shared libraries which the binary names itself, each from the version it was built with.
depends=$(objdump -p "$binary" | awk '$1 == "NEEDED" {print $2}' | while read -r library; do
  path=$(ldd "$binary" | awk -v l="$library" '$1 == l {print $3}')
  { dpkg-query -S "$(readlink -f "$path")" 2>/dev/null || dpkg-query -S "$path" 2>/dev/null ||
    dpkg-query -S "${path#/usr}"; } | cut -d: -f1
done | sort -u | while read -r package; do
  printf '%s (>= %s), ' "$package" "$(dpkg-query -W -f='${source:Upstream-Version}' "$package")"
done)

cat >"$tree/DEBIAN/control" <<CONTROL
Package: weir
Version: $version
Architecture: $arch
Section: net
Priority: optional
Maintainer: The Weir authors <weir@localhost>
Depends: ${depends%, }
Description: event streaming broker that speaks Apache Kafka's protocol
 One small binary that stores and serves streams of records durably. Kafka's
 clients and tools talk to it unchanged.
CONTROL
echo /etc/weir/server.properties >"$tree/DEBIAN/conffiles"

dpkg-deb --root-owner-group --build "$tree" "$out/weir_${version}_$arch.deb" >/dev/null
tar -C "$tree" --owner=0 --group=0 --transform "s,^\.,weir-$version," -czf "$out/weir-$version-linux-$arch.tar.gz" \
  ./usr/bin/weir ./etc ./lib ./usr/share
rm -rf "$tree"
ls -l "$out"
