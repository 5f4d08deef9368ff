#!/usr/bin/env bash
# Makes weir_VERSION_ARCH.deb and weir-VERSION-linux-ARCH.tar.gz out of a built binary.
#
#   make_packages.sh [BINARY [OUT]]       default: build/release/bin/weir, build/package
#
# WEIR_PACKAGE_VERSION is the version of the package if it is not the program's.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-build/release/bin/weir}
out=${2:-build/package}
version=${WEIR_PACKAGE_VERSION:-$("$binary" version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')}
arch=$(dpkg --print-architecture)
# The same sources give the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
mkdir -p "$out"
tree=$(mktemp -d "$out/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
umask 022
mkdir -p "$tree"/{DEBIAN,usr/bin,etc/weir,lib/systemd/system,usr/share/doc/weir,usr/share/man/man1}

strip -o "$tree/usr/bin/weir" "$binary"
install -m 644 packaging/weir.properties "$tree/etc/weir/"
install -m 644 packaging/weir.service "$tree/lib/systemd/system/"
cp LICENSE "$tree/usr/share/doc/weir/"
cp packaging/operators.md "$tree/usr/share/doc/weir/README.md"
# For those who run it; what is for developers stays in the source, and how a page was made too.
for page in apis backup configuration differences groups migration observability operations sizing upgrades; do
  sed '/^Made from .*; do not edit\.$/d' "docs/$page.md" >"$tree/usr/share/doc/weir/$page.md"
done
cp -r docs/dashboards docs/formats docs/decisions "$tree/usr/share/doc/weir/"
find "$tree/usr/share/doc" -type f -exec chmod 644 {} + -o -type d -exec chmod 755 {} +
printf '%s\n\n' 'Files: *' 'Copyright: The Weir authors' 'License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0' \
  >"$tree/usr/share/doc/weir/copyright"
"$binary" help --man | gzip -9n >"$tree/usr/share/man/man1/weir.1.gz"
gzip -9n >"$tree/usr/share/doc/weir/changelog.gz" <<CHANGELOG
weir ($version) unstable; urgency=medium

  * Weir $version.

 -- The Weir authors <weir@localhost>  $(date -uRd "@$SOURCE_DATE_EPOCH")
CHANGELOG

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
Installed-Size: $(du -sk --apparent-size "$tree" | cut -f1)
Depends: ${depends}init-system-helpers, passwd
Description: event streaming broker that speaks Apache Kafka's protocol
 One small binary that stores and serves streams of records durably. Kafka's
 clients and tools talk to it unchanged.
CONTROL
echo /etc/weir/weir.properties >"$tree/DEBIAN/conffiles"
install -m 755 packaging/debian/{postinst,prerm,postrm} "$tree/DEBIAN/"
(cd "$tree" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)

dpkg-deb --root-owner-group --build "$tree" "$out/weir_${version}_$arch.deb" >/dev/null
cp LICENSE "$tree/"
cp packaging/operators.md "$tree/README.md"
tar -C "$tree" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --transform "s,^\.,weir-$version," -cf - ./LICENSE ./README.md ./usr/bin/weir ./etc ./lib ./usr/share | gzip -9n >"$out/weir-$version-linux-$arch.tar.gz"
(cd "$out" && sha256sum "weir_${version}_$arch.deb" "weir-$version-linux-$arch.tar.gz" >"weir-$version-$arch.sha256")
ls -l "$out/weir_${version}_$arch.deb" "$out/weir-$version-linux-$arch.tar.gz"
