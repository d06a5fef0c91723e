SHELL := bash
# Watchtower. `make help` lists what there is.
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# MessagePack is of no use here, and its codec takes longer to compile than the
# rest of the web framework.
TAGS := nomsgpack
# The race detector needs a C compiler; without one the tests run without it.
RACE := $(if $(shell command -v $$($(GO) env CC) 2>/dev/null),-race)
LDFLAGS := -s -w -X main.version=$(VERSION)
tool = $(GO) tool -modfile=tools/$(1)/go.mod $(1)

.DEFAULT_GOAL := help
.PHONY: help build test test-short lint fmt generate check bench bench-signals bench-judge bench-patterns bench-store bench-respond test-crash demo

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## bin/watchtower and bin/lab
	@echo "building bin/watchtower and bin/lab (a few minutes the first time, while dependencies compile)"
	$(GO) build -tags $(TAGS) -trimpath -ldflags "$(LDFLAGS)" -o bin/watchtower ./cmd/watchtower
	cd lab && $(GO) build -trimpath -o ../bin/lab ./cmd/lab
	$(GO) build -tags $(TAGS) -trimpath -o bin/standins ./tools/standins
	cd lab && $(GO) build -trimpath -o ../bin/webapp ./webapp

test-short: ## the tests that need no cluster, in a few minutes
	@echo "testing the service, then the lab's own packages; no cluster is started"
	$(GO) test -tags $(TAGS) -vet=off -ldflags=-w -short ./...
	cd lab && $(GO) test -vet=off -ldflags=-w -short ./...

test: build ## all tests: with the race detector, and against a real cluster
	@$(if $(RACE),,echo "no C compiler: testing without the race detector")
	@echo "testing the service (a quarter of an hour with the race detector, half of it for what follows a verdict)"
	$(GO) test -tags $(TAGS) $(RACE) -timeout 60m ./...
	@echo "building what is missing of a real cluster (once, up to half an hour on two cores)"
	bin/lab build
	@echo "testing the lab, then the service against the real cluster in it (about a quarter of an hour)"
	cd lab && $(GO) test -v -p 1 -parallel 6 -timeout 45m ./... 2>&1 | grep -E --line-buffered '^( *--- |ok|FAIL|panic|the lab|starting|.*_test\.go:)' ; test $${PIPESTATUS[0]} -eq 0

KILLS ?= 1000
test-crash: ## processes killed at every point and at random, on both databases: what was lost or done twice; six minutes
	@echo "killing Watchtower at every point between an effect and its record, then $(KILLS) times at random"
	@CI=true $(GO) test -tags $(TAGS) -count=1 -timeout 60m -v ./internal/respond -run 'TestEveryPointIsKilledAt|TestKilledAtRandom|TestKilledInAStorm' -crash.full -crash.kills $(KILLS) | grep --line-buffered -vE '^ *(=== |--- PASS)' ; test $${PIPESTATUS[0]} -eq 0

lint: ## golangci-lint, with the rules of which room may import which
	$(call tool,golangci-lint) run ./...
	cd lab && $(GO) tool -modfile=../tools/golangci-lint/go.mod golangci-lint run -c ../.golangci.yml ./...

fmt: ## gofumpt on everything
	@$(call tool,gofumpt) -w $(shell git ls-files '*.go' | grep -v _templ.go)

generate: ## the files that are made from others
	$(GO) generate ./...

check: ## what a change must pass: format, vet, lint, dead code, generated files current
	@echo "format"; test -z "$$($(call tool,gofumpt) -l $$(git ls-files '*.go' | grep -v _templ.go))" || { echo "run: make fmt"; exit 1; }
	@echo "vet"; $(GO) vet ./... && cd lab && $(GO) vet ./...
	@echo "lint"; $(MAKE) --no-print-directory lint
	@echo "generated files"; $(MAKE) --no-print-directory generate && git diff --exit-code --stat -- '*_templ.go' '*.schema.json'
	@echo "go.mod"; $(GO) mod tidy -diff && cd lab && $(GO) mod tidy -diff

bench: ## figures, as ratios within one run
	@echo "ms/tick: one look at that many live releases; %regressed, %healthy, s-median: what became of simulated rollouts, and after how long"
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem ./internal/...
	@$(MAKE) --no-print-directory bench-signals

bench-signals: bin/lab ## what reading many releases costs, against a real Prometheus with 200,000 series; six minutes
	@echo "building Prometheus where it is missing, then feeding it the metrics of 1,000 workloads"
	$(GO) run -tags $(TAGS) ./bench/signals -prometheus "$$(bin/lab build prometheus | awk '{print $$2}')"

JUDGE_SEED ?= 1
bench-judge: bin/lab build ## how often verdicts are wrong, and how soon right, on simulated rollouts; some ten minutes
	@echo "simulating and replaying 4,500 rollouts of which the truth is known (seed $(JUDGE_SEED))"
	$(GO) run -tags $(TAGS) ./bench/judge -healthy 3000 -regressed 1500 -seed $(JUDGE_SEED)
	@echo "replaying 1,000 of another simulation from a real Prometheus, which is built where it is missing"
	$(GO) run -tags $(TAGS) ./bench/judge -healthy 500 -regressed 500 -seed $(JUDGE_SEED) -watchtower bin/watchtower -prometheus "$$(bin/lab build prometheus | awk '{print $$2}')"

TROUBLE ?= 0
bench-respond: ## what follows a verdict under load: bursts, storms, fifty told everywhere, each receiver in trouble; ten minutes (TROUBLE=10m: an hour more)
	$(GO) test -tags $(TAGS) -count=1 -timeout 3h -v -run TestTenMinutesOfTrouble -bench 'Burst|Storm|DeliveredEverywhere|OneInTrouble' -benchtime 1x ./internal/respond -args -deliver.trouble=$(TROUBLE)

LOGHUB ?= ../shared/data/loghub
bench-patterns: ## how well and how fast log lines are made into templates, beside the published figures of others; a minute
	$(GO) run -tags $(TAGS) ./bench/patterns -loghub $(LOGHUB)

bench-store: ## how long the queries behind the pages take with 100,000 releases, in SQLite and PostgreSQL; some ten minutes
	@echo "filling a SQLite file and a PostgreSQL database of its own with 100,000 releases, then asking"
	$(GO) run -tags $(TAGS) ./bench/store

bin/lab:
	cd lab && $(GO) build -trimpath -o ../bin/lab ./cmd/lab

demo: build ## a bad release on a real cluster, caught and rolled back; DEMO_EXIT=1 ends after the story
	bin/lab demo --watchtower bin/watchtower --webapp bin/webapp --standins bin/standins $(if $(DEMO_EXIT),--exit)
