package main

import (
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
)

// losses loses packets on purpose when they are first sent, and counts what is sent again.
type losses struct {
	interceptor.NoOp
	plan          Plan
	report        *Report
	mutex         sync.Mutex
	dropped       int
	retransmitted int
	losesVideo    bool // By a script, for now
	losesAudio    bool
}

func newLosses(plan Plan, report *Report) *losses {
	return &losses{plan: plan, report: report}
}

// NewInterceptor implements interceptor.Factory.
func (l *losses) NewInterceptor(string) (interceptor.Interceptor, error) {
	return l, nil
}

// BindLocalStream implements interceptor.Interceptor.
func (l *losses) BindLocalStream(info *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	every, losesAll := l.plan.DropVideo, &l.losesVideo
	if info.ClockRate == 48000 {
		every, losesAll = l.plan.DropAudio, &l.losesAudio
	}
	seen := map[uint16]bool{}
	count := 0
	main := info.SSRC
	return interceptor.RTPWriterFunc(func(header *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		l.mutex.Lock()
		isAgain := header.SSRC != main || seen[header.SequenceNumber]
		if isAgain {
			l.retransmitted++
		} else {
			seen[header.SequenceNumber] = true
			count++
		}
		isLost := *losesAll || !isAgain && every > 0 && count%every == 0
		if isLost {
			l.dropped++
		}
		l.mutex.Unlock()
		if isLost {
			return header.MarshalSize() + len(payload), nil
		}
		return writer.Write(header, payload, a)
	})
}

// lose has everything of a kind lost from now on, or nothing.
func (l *losses) lose(isVideo, isAll bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if isVideo {
		l.losesVideo = isAll
	} else {
		l.losesAudio = isAll
	}
}

// conclude writes the figures into the report.
func (l *losses) conclude() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.report.Dropped, l.report.Retransmitted = l.dropped, l.retransmitted
}
