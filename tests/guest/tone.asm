; The sounding guest of the tests: a boot sector that plays tones with the PC speaker and with an AC97 card, and
; records with the card.
;
;   nasm -f bin -o tone.img tone.asm
;   qemu-system-x86_64 -drive file=tone.img,format=raw -serial ... -device AC97,audiodev=... -machine pcspk-audiodev=...
;
; COM1 takes commands of five bytes: a letter and two 16-bit numbers, little-endian.
;
;   letter  numbers           does                                                              says at its end
;   P       hertz, ms         plays a square wave with the PC speaker                           SPEAKER
;   C       hertz, ms         plays a sine, 48000 Hz, 16 bits, 2 channels, half of full scale   CARD
;   S       0, ms             plays silence in the same form                                    CARD
;   R       0, ms             records so long, at 48000 Hz, 16 bits, 2 channels                 RECORDED
;   L       0, ms             plays the first so many ms of the last recording                  CARD
;   W       register, value   sets a register of the card's mixer (02: master volume)           SET
;
; The frames that C, S, R and L move are exactly as many as the time says (at most 20 s), however slow the machine
; is; after C, S and L there are 200 ms of silence, which push the last of it out of QEMU. How long P sounds
; is a matter of the guest's clock. What is under way goes on while other commands are taken. On COM1 it says "READY"
; first, or "READY NO CARD".
bits 16
org 0x7c00
SECTORS     equ 7                   ; that follow the boot sector
STACK       equ 0x90000
IDT         equ 0x91000
LIST_OUT    equ 0x92000             ; the card's buffer descriptors
LIST_IN     equ 0x92200
SOUND_OUT   equ 0x400000
SOUND_IN    equ 0x1000000
MOST_FRAMES equ 960000              ; 20 s
ENGINE_IN   equ 0x00                ; the card's engines, in its second range of ports
ENGINE_OUT  equ 0x10

    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    mov ah, 0x02
    mov al, SECTORS
    mov cx, 2
    mov dh, 0
    mov bx, 0x7e00
    int 0x13
    in al, 0x92                     ; A20
    or al, 2
    out 0x92, al
    cli
    lgdt [gdt_register]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 8:protected

align 8
gdt:
    dq 0
    dq 0x00cf9a000000ffff
    dq 0x00cf92000000ffff
gdt_register:
    dw 23
    dd gdt
idt_register:
    dw 48 * 8 - 1
    dd IDT
times 510 - ($ - $$) db 0
    dw 0xaa55

bits 32
protected:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, STACK
    cld
    fninit
    call start_interrupts
    call start_serial
    call find_card
    mov esi, ready_text
    cmp dword [mixer], 0
    jne .ready
    mov esi, no_card_text
.ready:
    call write_text
    call read_clock
main:
    cli
    call read_clock
    call read_command
    call check_speaker
    call check_out
    call check_in
    sti                             ; takes effect after the next instruction: no wake-up is lost
    hlt
    jmp main

; ---- interrupts: they only wake the main loop
start_interrupts:
    mov edi, IDT
    mov ecx, 48
.fill:
    mov eax, awake
    mov [edi], ax
    mov word [edi + 2], 8
    mov word [edi + 4], 0x8e00
    shr eax, 16
    mov [edi + 6], ax
    add edi, 8
    dec ecx
    jnz .fill
    lidt [idt_register]
    mov al, 0x11                    ; both interrupt controllers: vectors 32..47
    out 0x20, al
    out 0xa0, al
    mov al, 32
    out 0x21, al
    mov al, 40
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, ~0x11 & 0xff            ; timer and COM1
    out 0x21, al
    mov al, 0xff
    out 0xa1, al
    mov al, 0x34                    ; timer: 250 times a second
    out 0x43, al
    mov al, 4773 & 255
    out 0x40, al
    mov al, 4773 >> 8
    out 0x40, al
    ret

awake:
    push eax
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd

; ---- the ACPI timer, 3579545 Hz and 24 bits, tells how long something lasts, also when interrupts were lost
read_clock:
    mov dx, 0x608
    in eax, dx
    mov ecx, eax
    sub ecx, [last_clock]
    and ecx, 0xffffff
    mov [last_clock], eax
    add [clock], ecx
    adc dword [clock + 4], 0
    ret

after:                              ; eax: ms from now -> edx:eax, the time of the clock
    mov ecx, 3580
    mul ecx
    add eax, [clock]
    adc edx, [clock + 4]
    ret

has_come:                           ; esi: where a time is -> carry clear when it has come
    mov eax, [clock]
    mov edx, [clock + 4]
    sub eax, [esi]
    sbb edx, [esi + 4]
    ret

; ---- COM1, 115200 8n1
start_serial:
    mov dx, 0x3fb
    mov al, 0x80
    out dx, al
    mov dx, 0x3f8
    mov al, 1
    out dx, al
    inc dx
    xor al, al
    out dx, al
    mov dx, 0x3fb
    mov al, 3
    out dx, al
    mov dx, 0x3fa
    mov al, 7
    out dx, al
    mov dx, 0x3fc
    mov al, 0x0b
    out dx, al
    mov dx, 0x3f9                   ; an interrupt for every byte that comes
    mov al, 1
    out dx, al
    ret

read_command:
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jz .none
    mov dx, 0x3f8
    in al, dx
    mov ecx, [command_length]
    mov [command + ecx], al
    inc ecx
    mov [command_length], ecx
    cmp ecx, 5
    jb read_command
    mov dword [command_length], 0
    movzx eax, word [command + 1]
    movzx ebx, word [command + 3]
    mov cl, [command]
    cmp cl, 'P'
    je speak
    cmp dword [mixer], 0
    je .none
    cmp cl, 'C'
    je play_sine
    cmp cl, 'S'
    je play_silence
    cmp cl, 'L'
    je play_recording
    cmp cl, 'R'
    je record
    cmp cl, 'W'
    je set_mixer
.none:
    ret

write_text:                         ; esi
    lodsb
    test al, al
    jz .end
    mov ah, al
    mov dx, 0x3fd
.wait:
    in al, dx
    test al, 0x20
    jz .wait
    mov al, ah
    mov dx, 0x3f8
    out dx, al
    jmp write_text
.end:
    ret

; ---- the speaker
speak:                              ; eax Hz, ebx ms
    mov ecx, eax
    mov eax, 1193182
    xor edx, edx
    div ecx
    mov ecx, eax
    mov al, 0xb6
    out 0x43, al
    mov al, cl
    out 0x42, al
    mov al, ch
    out 0x42, al
    in al, 0x61
    or al, 3
    out 0x61, al
    call read_clock
    mov eax, ebx
    call after
    mov [speaker_end], eax
    mov [speaker_end + 4], edx
    mov byte [speaker_on], 1
    ret

check_speaker:
    cmp byte [speaker_on], 0
    je .end
    mov esi, speaker_end
    call has_come
    jc .end
    in al, 0x61
    and al, 0xfc
    out 0x61, al
    mov byte [speaker_on], 0
    mov esi, speaker_text
    call write_text
.end:
    ret

; ---- the card
find_card:                          ; on bus 0; the firmware has given it its ports
    mov ebx, 0x80000000
.next:
    mov eax, ebx
    call read_config
    cmp eax, 0x24158086
    je .found
    add ebx, 0x800
    cmp ebx, 0x80010000
    jb .next
    ret
.found:
    lea eax, [ebx + 4]              ; ports and memory of its own
    call read_config
    or eax, 5
    mov dx, 0xcfc
    out dx, eax
    lea eax, [ebx + 0x10]
    call read_config
    and eax, 0xfffc
    mov [mixer], eax
    lea eax, [ebx + 0x14]
    call read_config
    and eax, 0xfffc
    mov [engines], eax
    mov eax, 0x02                   ; master volume: full
    xor ebx, ebx
    call write_mixer
    mov eax, 0x18                   ; what is played: full
    xor ebx, ebx
    call write_mixer
    mov eax, 0x1c                   ; what is recorded: most
    mov ebx, 0x0f0f
    jmp write_mixer

read_config:                        ; eax: where -> eax
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    ret

write_mixer:                        ; eax: register, ebx: value
    mov edx, [mixer]
    add edx, eax
    mov eax, ebx
    out dx, ax
    ret

set_mixer:
    call write_mixer
    mov esi, set_text
    jmp write_text

play_sine:                          ; eax Hz, ebx ms
    mov [frequency], eax
    call frames_of
    mov edi, SOUND_OUT
    mov dword [frame], 0
    jecxz .end
.fill:
    fild dword [frame]
    fimul dword [frequency]
    fdiv dword [half_rate]
    fldpi
    fmulp st1, st0
    fsin
    fmul dword [loudness]
    fistp word [edi]
    mov ax, [edi]
    mov [edi + 2], ax
    add edi, 4
    inc dword [frame]
    dec ecx
    jnz .fill
.end:
    mov esi, SOUND_OUT
    jmp play

play_silence:
    call frames_of
    mov edi, SOUND_OUT
    xor eax, eax
    rep stosd
    mov esi, SOUND_OUT
    jmp play

play_recording:
    mov esi, SOUND_IN
play:                               ; esi, ebx ms
    mov edi, LIST_OUT
    mov ebp, ENGINE_OUT
    call start_engine
    mov byte [out_state], 1
    ret

record:
    mov esi, SOUND_IN
    mov edi, LIST_IN
    mov ebp, ENGINE_IN
    call start_engine
    mov byte [in_on], 1
    ret

frames_of:                          ; ebx ms -> ecx, at most MOST_FRAMES
    mov ecx, ebx
    imul ecx, 48
    cmp ecx, MOST_FRAMES
    jbe .end
    mov ecx, MOST_FRAMES
.end:
    ret

start_engine:                       ; esi: frames, ebx: ms, edi: a list, ebp: which engine
    call frames_of
    add ecx, ecx                    ; the card counts samples
    mov edx, [engines]
    lea edx, [edx + ebp + 0x0b]
    xor al, al                      ; stop, then reset
    out dx, al
    mov al, 2
    out dx, al
    lea edx, [edx - 0x0b]
    mov eax, edi
    out dx, eax
    mov bl, -1                      ; the last descriptor
.describe:
    mov eax, 65532
    cmp ecx, eax
    jae .whole
    mov eax, ecx
.whole:
    mov [edi], esi
    mov [edi + 4], eax
    add edi, 8
    lea esi, [esi + eax * 2]
    inc bl
    sub ecx, eax
    jnz .describe
    lea edx, [edx + 5]
    mov al, bl
    out dx, al
    lea edx, [edx + 6]
    mov al, 1                       ; run
    out dx, al
    ret

check_out:
    cmp byte [out_state], 0
    je .end
    cmp byte [out_state], 2
    je .silence
    mov ebp, ENGINE_OUT
    call has_halted
    jz .end
    mov byte [out_state], 2         ; while it still runs it plays silence
    mov eax, 200
    call after
    mov [out_end], eax
    mov [out_end + 4], edx
    ret
.silence:
    mov esi, out_end
    call has_come
    jc .end
    mov byte [out_state], 0
    mov ebp, ENGINE_OUT
    call stop_engine
    mov esi, card_text
    call write_text
.end:
    ret

check_in:
    cmp byte [in_on], 0
    je .end
    mov ebp, ENGINE_IN
    call has_halted
    jz .end
    mov byte [in_on], 0
    call stop_engine
    mov esi, recorded_text
    call write_text
.end:
    ret

has_halted:                         ; ebp: which engine -> zero clear when it has come to the end of its list
    mov edx, [engines]
    lea edx, [edx + ebp + 0x06]
    in ax, dx
    test al, 1
    ret

stop_engine:
    mov edx, [engines]
    lea edx, [edx + ebp + 0x0b]
    xor al, al
    out dx, al
    ret

ready_text: db "READY", 10, 0
no_card_text: db "READY NO CARD", 10, 0
speaker_text: db "SPEAKER", 10, 0
card_text:  db "CARD", 10, 0
recorded_text: db "RECORDED", 10, 0
set_text:   db "SET", 10, 0
align 4
half_rate:  dd 24000.0
loudness:   dd 16384.0
mixer:      dd 0                    ; ports; 0: there is no card
engines:    dd 0
frequency:  dd 0
frame:      dd 0
clock:      dd 0, 0
last_clock: dd 0
speaker_end: dd 0, 0
out_end:    dd 0, 0
command_length: dd 0
command:    times 8 db 0
speaker_on: db 0
out_state:  db 0                    ; 0 still, 1 plays, 2 plays the silence after it
in_on:      db 0
times (SECTORS + 1) * 512 - ($ - $$) db 0
