package main

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

const (
	reportEvery = 250 * time.Millisecond
	joinLead    = 700 * time.Millisecond // A session takes less than this to connect
	joinPause   = 100 * time.Millisecond
)

// Script is a plan in time: the frames of the files are due at their own times after the epoch, whoever is there.
type Script struct {
	EpochNs  int64   `json:"epoch_ns"` // Unix time of the files' time 0
	Seconds  float64 `json:"seconds"`
	KeyEvery int     `json:"key_every"` // Pictures from one keyframe of the files to the next
	Seed     uint64  `json:"seed"`
	AudioPPM float64 `json:"audio_ppm"` // How much faster than the wall clock its RTP clock runs
	VideoPPM float64 `json:"video_ppm"`
	Phases   []Phase `json:"phases"`
}

// Phase is a stretch in which something is otherwise, milliseconds after the epoch.
type Phase struct {
	Act     string   `json:"act"`
	StartMs int64    `json:"start_ms"`
	EndMs   int64    `json:"end_ms"`
	Layer   int      `json:"layer"`
	Layers  []string `json:"layers"` // Of replace: the files in place of the plan's
}

// Sent is a frame that left: 1 for a picture, layer, file, number in the file, 1 if lost at once, Unix microseconds.
type Sent [6]int64

func (p Phase) holds(at time.Duration) bool {
	return at >= time.Duration(p.StartMs)*time.Millisecond && at < time.Duration(p.EndMs)*time.Millisecond
}

// during returns the phase of a kind that holds at a moment, or none.
func (s *Script) during(at time.Duration, acts ...string) *Phase {
	for n, phase := range s.Phases {
		for _, act := range acts {
			if phase.Act == act && phase.holds(at) {
				return &s.Phases[n]
			}
		}
	}
	return nil
}

// frames returns what a stream sends over the whole plan: of layer -1, sound, or of a layer of the picture.
func (p Plan) frames(path string, layer int) ([]frame, error) {
	frames, err := readFrames(path)
	if err != nil || p.Script == nil || layer < 0 {
		return frames, err
	}
	for n, phase := range p.Script.Phases {
		if phase.Act != "replace" {
			continue
		}
		others, err := readFrames(phase.Layers[layer])
		if err != nil {
			return nil, err
		}
		for number := range frames {
			if number < len(others) && phase.holds(others[number].at) {
				frames[number] = others[number]
				frames[number].clip = n + 1
			}
		}
	}
	return frames, nil
}

// performer plays a script.
type performer struct {
	plan   Plan
	script *Script
	losses *losses
	report *Report
	epoch  time.Time

	mutex     sync.Mutex
	live      *connection
	isJoining bool
	failure   error
}

// perform plays the plan's script to its end.
func perform(plan Plan, losses *losses, report *Report) error {
	p := &performer{plan: plan, script: plan.Script, losses: losses, report: report, epoch: time.Unix(0, plan.Script.EpochNs)}
	if err := p.join(); err != nil {
		return err
	}
	done := make(chan struct{})
	go p.reportClocks(done)
	err := p.play()
	close(done)
	time.Sleep(400 * time.Millisecond)
	losses.conclude()
	p.leave()
	return err
}

type due struct {
	frame
	when    time.Duration
	isVideo bool
	index   int // Among the connection's streams
}

func (p *performer) play() error {
	var all []due
	end := time.Duration(p.script.Seconds * float64(time.Second))
	for index, stream := range p.live.streams {
		for _, frame := range stream.frames {
			if frame.at < end {
				all = append(all, due{frame, frame.at + stream.delay(), stream.isVideo, index})
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].when < all[j].when })
	begunAt := time.Since(p.epoch)
	for _, next := range all {
		if next.when < begunAt {
			continue // Nobody was connected then.
		}
		time.Sleep(time.Until(p.epoch.Add(next.when)))
		p.report.LateMs = max(p.report.LateMs, (time.Since(p.epoch) - next.when).Milliseconds())
		if err := p.step(next); err != nil {
			return err
		}
	}
	return nil
}

// step does what is due: a frame is sent, unless its phase says otherwise.
func (p *performer) step(next due) error {
	if away := p.script.during(next.at, "leave", "kill"); away != nil {
		p.stayAway(away, next.at)
		return p.failure
	}
	p.mutex.Lock()
	live := p.live
	p.mutex.Unlock()
	if live == nil {
		return p.failure
	}
	stream := live.streams[next.index]
	if p.isSilent(next, stream) {
		stream.needsKey = stream.isVideo
		return nil
	}
	if stream.isVideo {
		stream.needsKey = stream.needsKey || next.clip != stream.lastClip
		if stream.needsKey && next.number%p.script.KeyEvery != 0 {
			return nil
		}
		stream.needsKey, stream.lastClip = false, next.clip
	}
	lost := p.script.during(next.at, lossOf(next.isVideo)) != nil
	p.losses.lose(next.isVideo, lost)
	p.report.Sent = append(p.report.Sent, Sent{
		number(next.isVideo), int64(stream.layer), int64(next.clip), int64(next.number), number(lost), time.Now().UnixMicro(),
	})
	return stream.send(next.frame)
}

func (p *performer) isSilent(next due, stream *stream) bool {
	mute, stall := "mute_audio", "stall_audio"
	if next.isVideo {
		mute, stall = "mute_video", "stall_video"
	}
	if p.script.during(next.at, mute) != nil {
		return true
	}
	if phase := p.script.during(next.at, stall); phase != nil {
		stream.stalled = next.at - time.Duration(phase.StartMs)*time.Millisecond
		if next.isVideo {
			// The picture after the stall is a keyframe, and its time follows at once.
			stream.stalled = time.Duration(phase.EndMs-phase.StartMs) * time.Millisecond
		}
		return true
	}
	silence := p.script.during(next.at, "silence_layer")
	return next.isVideo && silence != nil && silence.Layer == stream.layer
}

func lossOf(isVideo bool) string {
	if isVideo {
		return "lose_video"
	}
	return "lose_audio"
}

func number(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// stayAway leaves if that is still to be done, and joins again in time for the phase's end.
func (p *performer) stayAway(phase *Phase, at time.Duration) {
	p.mutex.Lock()
	isHere, isJoining := p.live != nil, p.isJoining
	p.mutex.Unlock()
	isTime := at >= time.Duration(phase.EndMs)*time.Millisecond-joinLead
	switch {
	case isHere && !isTime:
		p.leave()
	case !isHere && !isJoining && isTime:
		p.mutex.Lock()
		p.isJoining = true
		p.mutex.Unlock()
		go func() {
			// A killed recorder needs a while before it takes anybody.
			deadline := time.Now().Add(20 * time.Second)
			err := p.join()
			for err != nil && time.Now().Before(deadline) {
				time.Sleep(joinPause)
				err = p.join()
			}
			p.mutex.Lock()
			p.isJoining, p.failure = false, err
			p.mutex.Unlock()
		}()
	}
}

func (p *performer) join() error {
	live, err := connect(p.plan, p.losses, p.report)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	source := rand.New(rand.NewPCG(p.script.Seed, uint64(len(p.report.Joined))))
	for _, stream := range live.streams {
		stream.rtpBase, stream.sequence = source.Uint32(), uint16(source.Uint32())
		stream.needsKey = stream.isVideo
		stream.ppm = p.script.AudioPPM
		if stream.isVideo {
			stream.ppm = p.script.VideoPPM
		}
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.live = live
	p.report.Joined = append(p.report.Joined, time.Now().UnixMicro())
	return nil
}

func (p *performer) leave() {
	p.mutex.Lock()
	live := p.live
	p.live = nil
	p.mutex.Unlock()
	if live != nil {
		live.close()
	}
}

// reportClocks sends a sender report of every stream four times a second: when what was captured at this very moment.
func (p *performer) reportClocks(done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(reportEvery):
		}
		p.mutex.Lock()
		live := p.live
		p.mutex.Unlock()
		if live == nil {
			continue
		}
		for _, stream := range live.streams {
			if stream.packets > 0 {
				_ = live.pc.WriteRTCP([]rtcp.Packet{p.clockOf(stream)})
			}
		}
	}
}

// clockOf maps now to the stream's RTP time. Spec: RFC 3550 section 6.4.1.
func (p *performer) clockOf(stream *stream) *rtcp.SenderReport {
	now := time.Now()
	const from1900To1970 = 2208988800
	seconds := uint64(now.Unix()) + from1900To1970
	fraction := uint64(now.Nanosecond()) << 32 / 1_000_000_000
	parameters := stream.sender.GetParameters()
	encoding := parameters.Encodings[min(stream.layer, len(parameters.Encodings)-1)]
	return &rtcp.SenderReport{
		SSRC: uint32(encoding.SSRC), NTPTime: seconds<<32 | fraction, RTPTime: stream.timestamp(now.Sub(p.epoch)),
		PacketCount: stream.packets, OctetCount: stream.octets,
	}
}
