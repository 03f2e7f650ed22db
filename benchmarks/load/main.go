// Command load publishes one pre-encoded clip by WHIP, as many times over as asked, and says exactly what it sent.
//
// It is the load of `make bench` and, with one publisher, a row of `make interop`. Standard output carries one JSON
// object a line: {"event":"sending"} once everybody is connected, {"event":"finished", "publishers":[...]} at the end.
// Exit status 1: somebody could not publish; the reason is on standard error.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	url, bearer, video, audio, setup, certificate string
	count, parallel                               int
	duration, spread, settle                      time.Duration
	twcc                                          bool
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.url, "url", "", "WHIP endpoint; {n} becomes the publisher's number, from 0")
	flag.StringVar(&o.bearer, "bearer", "", "bearer token; empty sends none")
	flag.StringVar(&o.video, "video", "", "H.264 Annex B (.h264) or IVF with VP8, VP9 or AV1 (.ivf); empty publishes no video")
	flag.StringVar(&o.audio, "audio", "", "Opus in Ogg; empty publishes no audio")
	flag.StringVar(&o.setup, "setup", "actpass", "DTLS role offered: actpass, active or passive")
	flag.StringVar(&o.certificate, "certificate", "p256", "kind of certificate: p256, p384 or rsa2048")
	flag.IntVar(&o.count, "publishers", 1, "how many publish at the same time")
	flag.IntVar(&o.parallel, "parallel", 8, "how many join at the same time")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long each sends")
	flag.DurationVar(&o.spread, "spread", 2*time.Second, "publishers begin evenly over this time; 0 aligns all keyframes")
	flag.DurationVar(&o.settle, "settle", 500*time.Millisecond, "time left for retransmissions before leaving")
	flag.BoolVar(&o.twcc, "twcc", false, "number all packets for transport-wide congestion control and take feedback, as browsers do")
	flag.Parse()
	return o
}

func main() {
	if err := run(parseOptions()); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.url == "" || o.video == "" && o.audio == "" || o.count < 1 {
		return errors.New("say at least -url, and -video or -audio")
	}
	clip, err := readClip(o.video, o.audio)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	go stopOnSignal(stop)
	publishers, err := connectAll(o, clip)
	defer leaveAll(publishers)
	if err != nil {
		return err
	}
	say(map[string]any{"event": "sending", "publishers": len(publishers)})
	sendAll(publishers, o, stop)
	time.Sleep(o.settle)
	leaveAll(publishers)
	sent := make([]report, 0, len(publishers))
	for _, publisher := range publishers {
		sent = append(sent, publisher.report())
	}
	say(map[string]any{"event": "finished", "publishers": sent})
	for _, publisher := range publishers {
		if publisher.failure != nil {
			return publisher.failure
		}
	}
	return nil
}

// stopOnSignal closes stop on the first Ctrl-C or SIGTERM; the second ends the program at once.
func stopOnSignal(stop chan<- struct{}) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	close(stop)
	<-signals
	os.Exit(130)
}

// connectAll lets everybody join, a few at a time, and returns when all are connected or the first has failed.
func connectAll(o options, clip *clip) ([]*publisher, error) {
	var (
		wait  sync.WaitGroup
		lock  sync.Mutex
		all   = make([]*publisher, 0, o.count)
		fault error
		seats = make(chan struct{}, max(1, o.parallel))
	)
	for number := range o.count {
		wait.Add(1)
		seats <- struct{}{}
		go func() {
			defer func() { <-seats; wait.Done() }()
			url := strings.ReplaceAll(o.url, "{n}", fmt.Sprint(number))
			publisher, err := connect(number, url, o, clip)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				fault = errors.Join(fault, fmt.Errorf("publisher %d: %w", number, err))
				return
			}
			all = append(all, publisher)
		}()
	}
	wait.Wait()
	return all, fault
}

// sendAll lets everybody send at once, each with its own phase, and returns when the last has ended.
func sendAll(publishers []*publisher, o options, stop <-chan struct{}) {
	var wait sync.WaitGroup
	begin := time.Now().Add(50 * time.Millisecond)
	for _, publisher := range publishers {
		wait.Add(1)
		phase := o.spread * time.Duration(publisher.number) / time.Duration(o.count)
		go func() {
			defer wait.Done()
			publisher.send(begin.Add(phase), o.duration, stop)
		}()
	}
	wait.Wait()
}

func leaveAll(publishers []*publisher) {
	var wait sync.WaitGroup
	for _, publisher := range publishers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			publisher.leave()
		}()
	}
	wait.Wait()
}

func say(event any) {
	if err := json.NewEncoder(os.Stdout).Encode(event); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
	}
}
