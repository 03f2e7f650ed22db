package main

import (
	"fmt"

	"github.com/pion/webrtc/v4"
)

var rids = []string{"q", "h", "f"}

// addStreams reads the files and adds what they hold to the connection: sound first, which is section 0.
func addStreams(api *webrtc.API, pc *webrtc.PeerConnection, plan Plan) ([]*stream, error) {
	var streams []*stream
	if plan.Audio != "" {
		audio, err := addAudio(pc, plan)
		if err != nil {
			return nil, err
		}
		streams = append(streams, audio)
	}
	var first *stream
	for layer := range plan.Layers {
		video, err := newVideo(plan, layer)
		if err != nil {
			return nil, err
		}
		if err := video.attach(api, pc, plan, first); err != nil {
			return nil, err
		}
		if first == nil {
			first = video
		}
		streams = append(streams, video)
	}
	return streams, nil
}

func addAudio(pc *webrtc.PeerConnection, plan Plan) (*stream, error) {
	frames, err := plan.frames(plan.Audio, -1)
	if err != nil {
		return nil, err
	}
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	if plan.RED {
		capability.MimeType = "audio/red"
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, "sound", "stage")
	if err != nil {
		return nil, err
	}
	audio := &stream{frames: frames, track: track, rateHz: 48000, isRED: plan.RED}
	transceiver, err := pc.AddTransceiverFromTrack(track, sendOnly())
	if err != nil {
		return nil, err
	}
	audio.sender = transceiver.Sender()
	go drain(audio.sender)
	return audio, nil
}

func newVideo(plan Plan, layer int) (*stream, error) {
	frames, err := plan.frames(plan.Layers[layer], layer)
	if err != nil {
		return nil, err
	}
	payloader, err := newPayloader(plan.Codec)
	if err != nil {
		return nil, err
	}
	var options []func(*webrtc.TrackLocalStaticRTP)
	if plan.Simulcast == "rid" {
		options = append(options, webrtc.WithRTPStreamID(rids[layer]))
	}
	track, err := webrtc.NewTrackLocalStaticRTP(videoCapability(plan), "picture", "stage", options...)
	if err != nil {
		return nil, err
	}
	return &stream{
		frames: frames, track: track, payloader: payloader, rateHz: 90000, isVideo: true, layer: layer,
	}, nil
}

// attach gives the stream a sender: the connection's for the first layer, the same one for layers with RIDs, and one of
// its own on the same transport for layers that are told apart by SSRC, which a peer connection does not offer.
func (s *stream) attach(api *webrtc.API, pc *webrtc.PeerConnection, plan Plan, first *stream) error {
	switch {
	case first == nil:
		transceiver, err := pc.AddTransceiverFromTrack(s.track, sendOnly())
		if err != nil {
			return err
		}
		s.sender = transceiver.Sender()
	case plan.Simulcast == "rid":
		s.sender = first.sender
		return s.sender.AddEncoding(s.track)
	case plan.Simulcast == "ssrc":
		sender, err := api.NewRTPSender(s.track, first.sender.Transport())
		if err != nil {
			return err
		}
		s.sender, s.isOwn = sender, true
	default:
		return fmt.Errorf("several layers need simulcast rid or ssrc")
	}
	if !s.isOwn {
		go drain(s.sender)
	}
	return nil
}

// startStreams starts the senders the peer connection knows nothing of.
func startStreams(streams []*stream) error {
	for _, stream := range streams {
		if !stream.isOwn {
			continue
		}
		if err := stream.sender.Send(stream.sender.GetParameters()); err != nil {
			return err
		}
		go drain(stream.sender)
	}
	return nil
}

func sendOnly() webrtc.RTPTransceiverInit {
	return webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
}

// drain reads RTCP, without which retransmission does not work.
func drain(sender *webrtc.RTPSender) {
	buffer := make([]byte, 1500)
	for {
		if _, _, err := sender.Read(buffer); err != nil {
			return
		}
	}
}
