package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

const mtu = 1200

// frame is one coded picture or packet of sound, due `at` after the beginning.
type frame struct {
	at      time.Duration
	payload []byte
	number  int
	clip    int // Which file of a script it is from
}

// stream is one RTP stream on its way out.
type stream struct {
	frames    []frame
	track     *webrtc.TrackLocalStaticRTP
	sender    *webrtc.RTPSender
	isOwn     bool // Started by us and not by the peer connection
	payloader rtp.Payloader
	rateHz    uint64
	sequence  uint16
	isVideo   bool
	layer     int
	before    []byte // The packet of sound before, for redundancy; nil without
	isRED     bool
	rtpBase   uint32
	ppm       float64       // How much faster than the wall clock its RTP clock runs
	stalled   time.Duration // How long its RTP clock has stood still
	needsKey  bool
	lastClip  int
	packets   uint32
	octets    uint32
}

// readFrames reads an IVF file, whatever is in it.
func readFrames(path string) ([]frame, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	header := make([]byte, 32)
	if _, err := io.ReadFull(file, header); err != nil {
		return nil, err
	}
	rate, scale := binary.LittleEndian.Uint32(header[16:]), binary.LittleEndian.Uint32(header[20:])
	var frames []frame
	for {
		head := make([]byte, 12)
		if _, err := io.ReadFull(file, head); err == io.EOF {
			return frames, nil
		} else if err != nil {
			return nil, err
		}
		payload := make([]byte, binary.LittleEndian.Uint32(head))
		if _, err := io.ReadFull(file, payload); err != nil {
			return nil, err
		}
		at := time.Duration(binary.LittleEndian.Uint64(head[4:])) * time.Second * time.Duration(scale) / time.Duration(rate)
		frames = append(frames, frame{at: at, payload: payload, number: len(frames)})
	}
}

func newPayloader(codec string) (rtp.Payloader, error) {
	switch codec {
	case "H264":
		return &codecs.H264Payloader{}, nil
	case "VP8":
		return &codecs.VP8Payloader{EnablePictureID: true}, nil
	case "VP9":
		return &codecs.VP9Payloader{}, nil
	case "AV1":
		return &codecs.AV1Payloader{}, nil
	}
	return nil, fmt.Errorf("no payloader for %q", codec)
}

// play sends everything in real time, in the order of time.
func play(streams []*stream, report *Report) error {
	type due struct {
		frame
		delay  time.Duration
		stream *stream
	}
	var all []due
	for _, stream := range streams {
		for _, frame := range stream.frames {
			all = append(all, due{frame, stream.delay(), stream})
		}
		if stream.isVideo {
			report.VideoFrames = append(report.VideoFrames, 0)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].at+all[i].delay < all[j].at+all[j].delay })
	started := time.Now()
	for _, next := range all {
		time.Sleep(time.Until(started.Add(next.at + next.delay)))
		if err := next.stream.send(next.frame); err != nil {
			return err
		}
		if next.stream.isVideo {
			report.VideoFrames[next.stream.layer]++
		} else {
			report.AudioFrames++
		}
	}
	return nil
}

// delay is how long after its beginning a frame can be sent: a packet of sound has to be heard to its end first.
func (s *stream) delay() time.Duration {
	if s.isVideo {
		return 0
	}
	return 20 * time.Millisecond
}

func (s *stream) send(frame frame) error {
	payloads := s.payloads(frame.payload)
	for n, payload := range payloads {
		packet := &rtp.Packet{
			Header: rtp.Header{
				Version:        2,
				Marker:         s.isVideo && n == len(payloads)-1,
				SequenceNumber: s.sequence,
				Timestamp:      s.timestamp(frame.at),
			},
			Payload: payload,
		}
		s.sequence++
		s.packets++
		s.octets += uint32(len(payload))
		if err := s.mark(packet); err != nil {
			return err
		}
		if err := s.track.WriteRTP(packet); err != nil {
			return err
		}
	}
	return nil
}

// timestamp is the RTP time of a moment after the beginning.
func (s *stream) timestamp(at time.Duration) uint32 {
	ticks := uint64((at - s.stalled).Microseconds()) * s.rateHz / 1_000_000
	return s.rtpBase + uint32(ticks) + uint32(int64(float64(ticks)*s.ppm/1e6))
}

func (s *stream) payloads(frame []byte) [][]byte {
	if s.isVideo {
		return s.payloader.Payload(mtu, frame)
	}
	if !s.isRED {
		return [][]byte{frame}
	}
	packed := redundant(s.before, frame)
	s.before = frame
	return [][]byte{packed}
}

// redundant packs a packet of sound with the one before it. Spec: RFC 2198 section 3.
func redundant(before, now []byte) []byte {
	var packed []byte
	if before != nil {
		const offset = 960
		packed = append(packed, 0x80|opusType, offset>>6, byte(offset&0x3f)<<2|byte(len(before)>>8), byte(len(before)))
	}
	packed = append(packed, opusType)
	return append(append(packed, before...), now...)
}

// mark names the layer on every packet, as publishers do until they hear an RTCP report.
func (s *stream) mark(packet *rtp.Packet) error {
	if s.track.RID() == "" {
		return nil
	}
	for _, extension := range s.sender.GetParameters().HeaderExtensions {
		value := ""
		switch extension.URI {
		case ridURI:
			value = s.track.RID()
		case midURI:
			value = "1"
		}
		if strings.TrimSpace(value) == "" {
			continue
		}
		if err := packet.SetExtension(uint8(extension.ID), []byte(value)); err != nil {
			return err
		}
	}
	return nil
}
