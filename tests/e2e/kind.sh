#!/usr/bin/env bash
# A kind cluster with this checkout in it: images built and loaded, chart installed, examples run to their end.
#
#     tests/e2e/kind.sh              all of it, and the cluster is gone afterwards; KEEP=1 leaves it
#     tests/e2e/kind.sh up           the cluster, with the operator in it
#     tests/e2e/kind.sh examples     what examples/ has, on the cluster that "up" made
#     tests/e2e/kind.sh state        what there is and what was logged, for when something went wrong
#     tests/e2e/kind.sh down
#
# The kubeconfig is a file of its own, so that nobody's own cluster is touched: build/e2e/kubeconfig.
set -euo pipefail
cd "$(dirname "$0")/../.."

CLUSTER=${CLUSTER:-jobrun-e2e}
RELEASE=jobrun
NAMESPACE=jobrun
FOLDER=${FOLDER:-$PWD/build/e2e}
IMAGES=(ghcr.io/jobrun/operator:0.1.0 ghcr.io/jobrun/worker:0.1.0)
EXAMPLES=(hello shell daylight)
JOBRUN=${JOBRUN:-.venv/bin/jobrun}
export KUBECONFIG=$FOLDER/kubeconfig
FORWARD=

say() { printf '\n== %s\n' "$*" >&2; }

needs() {
    local tool
    for tool in docker kind kubectl helm; do
        command -v "$tool" >/dev/null || { echo "kind.sh needs $tool, which is not installed" >&2; exit 3; }
    done
    docker info >/dev/null 2>&1 || { echo "kind.sh needs a Docker engine that runs: docker info fails" >&2; exit 3; }
}

# The images by the names that README has for them, so that the chart is installed just as it says there.
build() {
    local example
    say "images ${IMAGES[*]} and those of the examples"
    make --silent images >&2
    for example in "${EXAMPLES[@]}"; do
        docker build --tag "$example:1" "examples/$example" >&2
    done
    kind load docker-image --name "$CLUSTER" "${IMAGES[@]}" "${EXAMPLES[@]/%/:1}" >&2
}

up() {
    needs
    mkdir -p "$FOLDER"
    say "cluster $CLUSTER"
    kind create cluster --name "$CLUSTER" --kubeconfig "$KUBECONFIG" --wait 180s >&2
    build
    say "chart"
    helm install "$RELEASE" helm/jobrun --namespace "$NAMESPACE" --create-namespace \
        --set 'nats.workerSecret.namespaces={default}' --wait --timeout 5m >&2
}

# The broker of the chart, as the README says that a person reaches it.
forward() {
    kubectl --namespace "$NAMESPACE" port-forward "service/$RELEASE-nats" :4222 >"$FOLDER/forward.log" 2>&1 &
    FORWARD=$!
    local port=
    for _ in $(seq 150); do
        port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$FOLDER/forward.log" | head -n 1)
        [[ -n $port ]] && break
        sleep 0.2
    done
    [[ -n $port ]] || { cat "$FOLDER/forward.log" >&2; return 1; }
    export JOBRUN_NATS_URL=nats://127.0.0.1:$port JOBRUN_NATS_USER=client
    JOBRUN_NATS_PASSWORD=$(kubectl --namespace "$NAMESPACE" get secret "$RELEASE-nats-auth" \
        --output 'jsonpath={.data.client-password}' | base64 -d)
    export JOBRUN_NATS_PASSWORD
}

end_forward() {
    [[ -z $FORWARD ]] || kill "$FORWARD" 2>/dev/null || true
    FORWARD=
}

# Finished is true of a run that failed as well, so that nobody waits for one.
finished() {
    local phase
    kubectl wait --for=condition=Finished "jobrun/$1" --timeout=5m >&2
    phase=$(kubectl get jobrun "$1" --output 'jsonpath={.status.phase}')
    [[ $phase == Completed ]] || { echo "the run $1 is $phase" >&2; return 1; }
}

expect_lines() {
    local lines
    lines=$("$JOBRUN" results "$1" | wc -l)
    ((lines == $2)) || { echo "$1: $lines lines of results, and not $2" >&2; return 1; }
}

examples() {
    say "hello and shell, by kubectl"
    kubectl apply -f examples/hello/jobrun.yaml -f examples/shell/jobrun.yaml >&2
    finished hello
    finished shell
    say "daylight, by jobrun submit"
    forward
    "$JOBRUN" submit examples/daylight/jobrun.yaml --tasks examples/daylight/airports.csv --wait >&2
    say "results"
    expect_lines hello 3
    expect_lines shell 200
    expect_lines daylight 7884
    end_forward
    kubectl get jobruns >&2
}

state() {
    kubectl get pods,deployments,jobruns --all-namespaces >&2 || true
    kubectl describe jobruns --all-namespaces >&2 || true
    kubectl --namespace "$NAMESPACE" logs "deployment/$RELEASE" --tail 200 >&2 || true
    kubectl --namespace "$NAMESPACE" logs "statefulset/$RELEASE-nats" --tail 50 >&2 || true
}

down() { kind delete cluster --name "$CLUSTER" --kubeconfig "$KUBECONFIG" >&2; }

all() {
    needs # before the trap: without kind there is nothing to take down
    trap 'leave $?' EXIT
    up
    examples
    say "all of it works"
}

leave() {
    end_forward
    [[ $1 == 0 ]] || { say "failed; the state of things:"; state; }
    [[ -n ${KEEP:-} ]] || down || true
}

case ${1:-all} in
    all | up | examples | state | down) "${1:-all}" ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
