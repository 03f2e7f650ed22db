package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
)

const (
	frameRate      = 30
	payloadMax     = 1160 // leaves room for RTP, SRTP and header extensions in 1,200 bytes
	opusPacketTime = 20 * time.Millisecond
)

// clip is media cut into RTP payloads once, for all publishers to share; nobody writes to it afterwards.
type clip struct {
	video, audio *source
}

// source is one track: the payloads of each frame, repeated for ever.
type source struct {
	codec      webrtc.RTPCodecParameters
	frames     [][][]byte
	interval   time.Duration
	ticks      uint32 // of the RTP clock, per frame
	markerEach bool
}

func readClip(video, audio string) (*clip, error) {
	read := &clip{}
	var err error
	if video != "" {
		if read.video, err = readVideo(video); err != nil {
			return nil, fmt.Errorf("%s: %w", video, err)
		}
	}
	if audio != "" {
		if read.audio, err = readAudio(audio); err != nil {
			return nil, fmt.Errorf("%s: %w", audio, err)
		}
	}
	return read, nil
}

func readVideo(path string) (*source, error) {
	var (
		units     [][]byte
		payloader rtp.Payloader
		mime      = webrtc.MimeTypeH264
		fmtp      = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
		err       error
	)
	if filepath.Ext(path) == ".ivf" {
		units, mime, payloader, err = readIVF(path)
		fmtp = ""
	} else {
		units, err = readAnnexB(path)
		payloader = &codecs.H264Payloader{}
	}
	if err == nil && len(units) == 0 {
		err = errors.New("no pictures in it")
	}
	if err != nil {
		return nil, err
	}
	track := &source{interval: time.Second / frameRate, ticks: 90_000 / frameRate, markerEach: true}
	track.codec.MimeType, track.codec.ClockRate, track.codec.SDPFmtpLine = mime, 90_000, fmtp
	for _, unit := range units {
		track.frames = append(track.frames, payloader.Payload(payloadMax, unit))
	}
	return track, nil
}

func readIVF(path string) ([][]byte, string, rtp.Payloader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, "", nil, err
	}
	defer file.Close()
	reader, header, err := ivfreader.NewWith(file)
	if err != nil {
		return nil, "", nil, err
	}
	var units [][]byte
	for {
		unit, _, err := reader.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, "", nil, err
		}
		units = append(units, unit)
	}
	switch header.FourCC {
	case "VP80":
		return units, webrtc.MimeTypeVP8, &codecs.VP8Payloader{EnablePictureID: true}, nil
	case "VP90":
		return units, webrtc.MimeTypeVP9, &codecs.VP9Payloader{}, nil
	case "AV01":
		return units, webrtc.MimeTypeAV1, &codecs.AV1Payloader{}, nil
	}
	return nil, "", nil, fmt.Errorf("codec %q is not known here", header.FourCC)
}

// readAnnexB returns a stream's access units: parameter sets and SEI go with the picture that follows them.
func readAnnexB(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var (
		units      [][]byte
		start      = 0
		hasPicture = false
	)
	for _, at := range startCodes(data) {
		kind, firstOfPicture := data[at+3]&0x1f, at+4 < len(data) && data[at+4]&0x80 != 0
		isPicture := kind == 1 || kind == 5
		begins := kind >= 6 && kind <= 9 || isPicture && firstOfPicture
		if hasPicture && begins {
			units = append(units, data[start:at])
			start, hasPicture = at, false
		}
		hasPicture = hasPicture || isPicture
	}
	if hasPicture {
		units = append(units, data[start:])
	}
	return units, nil
}

// startCodes returns where each 00 00 01 begins.
func startCodes(data []byte) []int {
	var found []int
	for at := 0; at+3 < len(data); at++ {
		if data[at] == 0 && data[at+1] == 0 && data[at+2] == 1 {
			found = append(found, at)
		}
	}
	return found
}

func readAudio(path string) (*source, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	packets, err := oggPackets(data)
	if err != nil {
		return nil, err
	}
	track := &source{interval: opusPacketTime, ticks: 960}
	track.codec.MimeType, track.codec.ClockRate, track.codec.Channels = webrtc.MimeTypeOpus, 48_000, 2
	track.codec.SDPFmtpLine = "minptime=10;useinbandfec=1"
	for _, packet := range packets {
		if !isOpusHeader(packet) {
			track.frames = append(track.frames, [][]byte{packet})
		}
	}
	if len(track.frames) == 0 {
		return nil, errors.New("no packets in it")
	}
	return track, nil
}

// oggPackets returns the packets of a file's only stream. RFC 3533 section 6.
func oggPackets(data []byte) ([][]byte, error) {
	const headerBytes = 27
	var packets [][]byte
	var open []byte
	for len(data) > 0 {
		if len(data) < headerBytes || string(data[:4]) != "OggS" {
			return nil, errors.New("not an Ogg file")
		}
		laces, rest := data[headerBytes:], []byte(nil)
		count := int(data[headerBytes-1])
		if len(laces) < count {
			return nil, io.ErrUnexpectedEOF
		}
		laces, rest = laces[:count], laces[count:]
		for _, lace := range laces {
			if len(rest) < int(lace) {
				return nil, io.ErrUnexpectedEOF
			}
			open, rest = append(open, rest[:lace]...), rest[lace:]
			if lace < 255 { // a full lace says that the packet goes on
				packets, open = append(packets, open), nil
			}
		}
		data = rest
	}
	return packets, nil
}

// isOpusHeader tells the two header packets of an Ogg stream from sound. RFC 7845 section 5.
func isOpusHeader(packet []byte) bool {
	if len(packet) < 8 {
		return false
	}
	word := binary.BigEndian.Uint64(packet)
	return word == binary.BigEndian.Uint64([]byte("OpusHead")) || word == binary.BigEndian.Uint64([]byte("OpusTags"))
}
