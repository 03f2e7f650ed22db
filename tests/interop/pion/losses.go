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
	every := l.plan.DropVideo
	if info.ClockRate == 48000 {
		every = l.plan.DropAudio
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
		isLost := !isAgain && every > 0 && count%every == 0
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

// conclude writes the figures into the report.
func (l *losses) conclude() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.report.Dropped, l.report.Retransmitted = l.dropped, l.retransmitted
}
