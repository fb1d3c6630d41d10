{{/* The configuration of the broker. The users' permissions stand here and nowhere else: the reference in
     docs/chart-values.md and the tests take them from what this renders. */}}

{{- define "jobrun.natsConfig" -}}
{{- $prefix := .Values.settings.prefix -}}
server_name: {{ include "jobrun.natsName" . | quote }}
listen: "0.0.0.0:4222"
# Health for the probes; not part of the Service.
http: "0.0.0.0:8222"

jetstream {
  store_dir: "/data"
  max_memory_store: {{ .Values.nats.jetstream.maxMemoryStore }}
  max_file_store: {{ .Values.nats.jetstream.maxFileStore }}
  # What was acknowledged survives a power cut, and not only a killed process. Batches keep it fast.
  sync_interval: always
}
{{- if .Values.nats.tls.secretName }}

tls {
  cert_file: "/etc/nats-tls/tls.crt"
  key_file: "/etc/nats-tls/tls.key"
}
{{- end }}

# A wildcard stands for a whole token of a subject, and a stream's name is one token: "any stream of JobRun" can't be
# said, only "any stream of this account". Give JobRun an account of its own.
authorization {
  users: [
    # Makes, watches and deletes the streams of runs. It alone releases tasks: a stray message on a work subject would
    # take the index of a task for good.
    {
      user: operator
      password: $OPERATOR_PASSWORD
      permissions: {
        publish: {
          allow: [
            # Tasks, audit records, live status, and the bucket through which workers are told to hold.
            "{{ $prefix }}.work.*"
            "{{ $prefix }}.event.>"
            # Retries of dead letters: permitted, and a success made the outcome of its task.
            "{{ $prefix }}.again.*"
            "{{ $prefix }}.out.*.end.ok.*"
            "$JS.API.STREAM.PURGE.*"
            "$KV.{{ $prefix }}_status.>"
            "$KV.{{ $prefix }}_control.>"
            # Streams and consumers of runs.
            "$JS.API.INFO"
            "$JS.API.STREAM.LIST"
            "$JS.API.STREAM.CREATE.*"
            "$JS.API.STREAM.INFO.*"
            "$JS.API.STREAM.UPDATE.*"
            "$JS.API.STREAM.DELETE.*"
            "$JS.API.CONSUMER.CREATE.*.*"
            "$JS.API.CONSUMER.INFO.*.*"
            "$JS.API.CONSUMER.DELETE.*.workers"
            "$JS.API.CONSUMER.PAUSE.*.workers"
            # The last errors of a run, and tasks out of the object store.
            "$JS.API.DIRECT.GET.>"
            "$JS.API.STREAM.MSG.GET.*"
          ]
        }
        subscribe: {allow: ["_INBOX.jobrun-operator.>", "$KV.{{ $prefix }}_control.*", "{{ $prefix }}.pulse.*"]}
      }
    }
    # Takes tasks, keeps them alive, settles them and stores how they ended. It can't release, pause or delete, and of
    # what is stored it reads records of attempts and dead letters only. It is one user for the workers of all runs: who has its
    # password can take tasks of each of them. Teams that must not need a release each.
    {
      user: worker
      password: $WORKER_PASSWORD
      permissions: {
        publish: {
          allow: [
            # Outcomes and records of attempts.
            "{{ $prefix }}.out.*.end.*.*"
            "{{ $prefix }}.out.*.attempt.*"
            # How attempts fare, for the circuit breaker.
            "{{ $prefix }}.pulse.*"
            # Pulling from the consumer "workers" of a run.
            "$JS.API.CONSUMER.MSG.NEXT.*.workers"
            # Ack, nak and keep-alive of what came; the second form is that of a broker with a domain (ADR-15).
            "$JS.ACK.*.workers.>"
            "$JS.ACK.*.*.*.workers.>"
            # What earlier attempts of a task left.
            "$JS.API.DIRECT.GET.*.{{ $prefix }}.out.*.attempt.*"
            # The dead letter that a retry is of, and whether it has been retried already.
            "$JS.API.DIRECT.GET.*.{{ $prefix }}.out.*.end.dead.*"
            "$JS.API.DIRECT.GET.*.{{ $prefix }}.out.*.end.retried.*"
            # Holds of runs: raised where a handler is throttled, read, and timed by the broker's clock.
            "$KV.{{ $prefix }}_control.*"
            "$JS.API.DIRECT.GET.KV_{{ $prefix }}_control.$KV.{{ $prefix }}_control.*"
            "$JS.API.STREAM.INFO.KV_{{ $prefix }}_control"
          ]
        }
        subscribe: {allow: ["_INBOX.jobrun-worker.>", "$KV.{{ $prefix }}_control.*", "{{ $prefix }}.again.*"]}
      }
    }
    # People and scripts with `jobrun submit`, `jobrun results` and `jobrun dead`: puts data into the buckets of
    # nats.uploadBuckets, reads what is stored, gives dead letters up and has them retried.
    {
      user: client
      password: $CLIENT_PASSWORD
      permissions: {
        publish: {
          allow: [
            "$JS.API.INFO"
            "$JS.API.STREAM.LIST"
            "$JS.API.STREAM.INFO.*"
            "$JS.API.STREAM.MSG.GET.*"
            "$JS.API.DIRECT.GET.>"
            {{- range .Values.nats.uploadBuckets }}
            "$JS.API.STREAM.CREATE.OBJ_{{ . }}"
            "$JS.API.STREAM.PURGE.OBJ_{{ . }}"
            "$O.{{ . }}.>"
            {{- end }}
            # Dead letters: given up, and asked to be retried.
            "{{ $prefix }}.out.*.end.dead.*"
            "{{ $prefix }}.retry.*.*"
          ]
        }
        subscribe: {allow: ["_INBOX.jobrun-client.>"]}
      }
    }
  ]
}
{{- end -}}
