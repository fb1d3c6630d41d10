#!/usr/bin/env bash
# The programs of a control plane, for the tests in tests/cluster and tests/chart: into the folder that is named, which
# KUBEBUILDER_ASSETS then names to the tests. Checked against the digests that are published with them.
set -euo pipefail

KUBERNETES=v1.36.2
ETCD=v3.6.13
folder=${1:?name a folder}

mkdir -p "$folder"
cd "$folder"
for program in kube-apiserver kube-controller-manager kubectl; do
    url=https://dl.k8s.io/release/$KUBERNETES/bin/linux/amd64/$program
    curl --fail --silent --show-error --location --retry 3 --remote-name "$url"
    echo "$(curl --fail --silent --show-error --location --retry 3 "$url.sha256")  $program" | sha256sum --check --quiet
    chmod +x "$program"
done
archive=etcd-$ETCD-linux-amd64.tar.gz
url=https://github.com/etcd-io/etcd/releases/download/$ETCD
curl --fail --silent --show-error --location --retry 3 --remote-name "$url/$archive"
curl --fail --silent --show-error --location --retry 3 "$url/SHA256SUMS" |
    grep "  $archive\$" | sha256sum --check --quiet
tar --extract --gzip --file "$archive" --strip-components 1 "${archive%.tar.gz}/etcd"
rm "$archive"
