; The deterministic guest of the tests: a boot sector that draws, reads keys and pointer, and sleeps in between.
;
;   nasm -f bin -o screen.img screen.asm       [-DMODE=0x144: VBE mode, 32 bits per pixel; default 1024x768]
;   qemu-system-x86_64 -drive file=screen.img,format=raw -serial ...
;
; What it shows is chosen by a function key or by a control byte on COM1; it starts with "box". The pictures
; of a mode depend only on how many of its steps have passed, never on the clock; "still" stops where it is.
;
;   key  byte  mode
;   F1   0x11  box: on a gradient a red 64x64 box walks 4 pixels to the right 60 times a second, at y = 256
;   F2   0x12  repaint: the whole screen changes 60 times a second
;   F3   0x13  still: nothing is drawn any more unless keys or the pointer do it
;   F4   0x14  text: coloured lines on black, the BIOS's 8x16 font; the screen is moved up by one line 20 times a second
;   F5   0x15  video: 640x480 pixels of moving, noisy gradients at (64, 64), 30 times a second
;   F6   0x16  typing: a still desktop with a page; every key that is pressed draws one character there
;   F7   0x17  desktop: like "typing", but keys draw nothing (to begin anew with a known picture)
;   F8   -     beeps (440 Hz, PC speaker) while it is held
;   F9   0x19  800x600 pixels, in the mode "box"
;   F10  0x1a  1024x768 pixels, in the mode "box"
;
; In the modes box and still a key's scan code (set 1) is drawn as eight squares of 32x32 pixels at y = 32, bit 7 on the
; left, green for 1 and black for 0; the pointer draws a square of 8x8 pixels where it is: white, or yellow
; while the left button is held (not in the modes repaint, text and video).
; Typing: character n (from 0) is drawn at x = 128 + 8 * (n mod 64), y = 128 + 16 * (n div 64), black on white; after 1024
; characters the page is empty again.
;
; On COM1 it says "READY", "MODE xx" after a change of mode (when its first picture stands), "Kxx" for every
; scan code byte and "Mbb xxxx yyyy" for every report of the pointer (buttons as vmmouse says them: 20 left,
; 10 right, 08 middle; position in pixels), all in hexadecimal digits, and sends back every other byte that it gets.
bits 16
org 0x7c00
%ifndef MODE
%define MODE 0x144
%endif
SECTORS     equ 15                  ; that follow the boot sector
MODE_INFO   equ 0x600               ; VBE's answer
STACK       equ 0x90000
IDT         equ 0x91000
FONT        equ 0x92000             ; 256 glyphs of 16 bytes
NOISE       equ 0x200000            ; 64 Ki pixels of noise
GRADIENT    equ 0x280000            ; 4096 pixels

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
    mov ax, 0x1130                  ; font 8x16 -> es:bp
    mov bh, 6
    int 0x10
    push es
    pop ds
    mov si, bp
    mov ax, FONT >> 4
    mov es, ax
    xor di, di
    mov cx, 2048
    cld
    rep movsw
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ax, 0x4f01
    mov cx, MODE
    mov di, MODE_INFO
    int 0x10
    mov ax, 0x4f02
    mov bx, MODE | 0x4000
    int 0x10
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
    mov eax, cr0                    ; SSE on
    and eax, ~4
    or eax, 2
    mov cr0, eax
    mov eax, cr4
    or eax, 0x600
    mov cr4, eax
    mov eax, [MODE_INFO + 0x28]
    mov [frame_buffer], eax
    movzx eax, word [MODE_INFO + 0x10]
    mov [pitch], eax
    movzx eax, word [MODE_INFO + 0x12]
    mov [width], eax
    movzx eax, word [MODE_INFO + 0x14]
    mov [height], eax
    call start_interrupts
    call start_serial
    call start_mouse
    call make_noise
    mov al, 1
    call set_mode
    mov esi, ready_text
    call write_text
    sti

; ---- the main loop: sleep, then read what came, then draw if the timer has ticked
main:
    cli
    call read_serial
    call read_keys
    call read_pointer
    cmp byte [ticked], 0
    jne .draw
    sti                             ; takes effect after the next instruction: no wake-up is lost
    hlt
    jmp main
.draw:
    mov byte [ticked], 0
    sti
    inc dword [ticks]
    movzx eax, byte [mode]
    call [steps + eax * 4]
    jmp main

; ---- interrupts: they only wake the main loop; the timer leaves a mark
start_interrupts:
    mov edi, IDT
    mov ecx, 48
.fill:
    mov eax, awake
    cmp ecx, 16                     ; vector 32 is the timer's
    jne .entry
    mov eax, tick
.entry:
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
    mov al, ~0x17 & 0xff            ; timer, keyboard, cascade, COM1
    out 0x21, al
    mov al, ~0x10 & 0xff            ; mouse
    out 0xa1, al
    mov al, 0x34                    ; timer: 60 times a second
    out 0x43, al
    mov al, 19886 & 255
    out 0x40, al
    mov al, 19886 >> 8
    out 0x40, al
    ret

tick:
    mov byte [ticked], 1
awake:
    push eax
    mov al, 0x20
    out 0xa0, al
    out 0x20, al
    pop eax
    iretd

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

read_serial:
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jz .none
    mov dx, 0x3f8
    in al, dx
    cmp al, 0x11
    jb .echo
    cmp al, 0x1a
    ja .echo
    cmp al, 0x18
    je .echo
    sub al, 0x10
    call set_mode
    jmp read_serial
.echo:
    call write_byte
    jmp read_serial
.none:
    ret

write_byte:
    push edx
    push eax
    mov dx, 0x3fd
.wait:
    in al, dx
    test al, 0x20
    jz .wait
    pop eax
    mov dx, 0x3f8
    out dx, al
    pop edx
    ret

write_hex:                          ; al
    push eax
    shr al, 4
    call .digit
    pop eax
.digit:
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe write_byte
    add al, 7
    jmp write_byte

write_text:                         ; esi
    lodsb
    test al, al
    jz .end
    call write_byte
    jmp write_text
.end:
    ret

; ---- keyboard
read_keys:
    in al, 0x64
    test al, 1
    jz .none
    mov ah, al
    in al, 0x60
    test ah, 0x20
    jnz read_keys                   ; the mouse's byte: vmmouse tells more
    mov [scan_code], al
    mov al, 'K'
    call write_byte
    mov al, [scan_code]
    call write_hex
    mov al, 10
    call write_byte
    mov al, [scan_code]
    cmp al, 0x42                    ; F8
    jne .not_beep
    call beep
.not_beep:
    cmp al, 0xc2
    jne .not_quiet
    in al, 0x61
    and al, 0xfc
    out 0x61, al
.not_quiet:
    mov al, [scan_code]
    sub al, 0x3a                    ; F1 is 0x3b
    cmp al, 1
    jb .draw
    cmp al, 10
    ja .draw
    cmp al, 8
    je .draw
    call set_mode
    jmp read_keys
.draw:
    mov al, [mode]
    cmp al, 6
    je .type
    cmp al, 1
    je .squares
    cmp al, 3
    jne read_keys
.squares:
    call draw_scan_code
    jmp read_keys
.type:
    call type_character
    jmp read_keys
.none:
    ret

beep:
    mov al, 0xb6
    out 0x43, al
    mov al, (1193182 / 440) & 255
    out 0x42, al
    mov al, (1193182 / 440) >> 8
    out 0x42, al
    in al, 0x61
    or al, 3
    out 0x61, al
    ret

draw_scan_code:
    mov ebp, 7
.bit:
    xor edi, edi
    movzx eax, byte [scan_code]
    bt eax, ebp
    jnc .draw
    mov edi, 0x00ff00
.draw:
    mov eax, 7
    sub eax, ebp
    imul eax, 40
    add eax, 32
    mov ebx, 32
    mov ecx, 32
    mov edx, 32
    call rectangle
    dec ebp
    jns .bit
    ret

; ---- pointer: VMware's mouse protocol, absolute
%macro vmmouse 2                    ; command, argument
    mov eax, 0x564d5868
    mov ebx, %2
    mov ecx, %1
    mov edx, 0x5658
    in eax, dx
%endmacro

start_mouse:
    mov al, 0xa8                    ; the PS/2 mouse and its interrupt
    out 0x64, al
    call wait_keyboard_controller
    mov al, 0x60
    out 0x64, al
    call wait_keyboard_controller
    mov al, 0x43
    out 0x60, al
    call wait_keyboard_controller
    mov al, 0xd4                    ; let it report
    out 0x64, al
    call wait_keyboard_controller
    mov al, 0xf4
    out 0x60, al
    vmmouse 41, 0x45414552          ; read its id,
    vmmouse 39, 1                   ; which is one word,
    vmmouse 41, 0x53424152          ; then ask for absolute positions
    ret

wait_keyboard_controller:
    in al, 0x64
    test al, 2
    jnz wait_keyboard_controller
    ret

read_pointer:
    vmmouse 40, 0
    movzx eax, ax
    cmp eax, 4
    jb .none
    vmmouse 39, 4
    mov [buttons], eax
    imul ebx, [width]               ; 0..65535 -> pixels
    shr ebx, 16
    mov [pointer_x], ebx
    imul ecx, [height]
    shr ecx, 16
    mov [pointer_y], ecx
    mov al, 'M'
    call write_byte
    mov al, [buttons]
    call write_hex
    mov al, ' '
    call write_byte
    mov al, [pointer_x + 1]
    call write_hex
    mov al, [pointer_x]
    call write_hex
    mov al, ' '
    call write_byte
    mov al, [pointer_y + 1]
    call write_hex
    mov al, [pointer_y]
    call write_hex
    mov al, 10
    call write_byte
    mov al, [mode]
    cmp al, 2
    je read_pointer
    cmp al, 4
    je read_pointer
    cmp al, 5
    je read_pointer
    mov eax, [pointer_x]
    mov ebx, [pointer_y]
    mov ecx, 8
    mov edx, 8
    mov edi, 0xffffff
    test byte [buttons], 0x20
    jz .draw
    mov edi, 0xffff00
.draw:
    call rectangle
    jmp read_pointer
.none:
    ret

; ---- modes
set_mode:                           ; al: 1..10
    push eax
    cmp al, 9
    jb .same_size
    mov ebx, 800
    mov ecx, 600
    je .resize
    mov ebx, 1024
    mov ecx, 768
.resize:
    call resize
    mov al, 1
.same_size:
    mov [mode], al
    mov dword [ticks], 0
    movzx eax, al
    call [beginnings + eax * 4]
    mov esi, mode_text
    call write_text
    pop eax
    call write_hex
    mov al, 10
    jmp write_byte

align 4
beginnings:
    dd nothing, begin_box, nothing, nothing, begin_text, begin_video, begin_typing, begin_typing
steps:
    dd nothing, step_box, step_repaint, nothing, step_text, step_video, nothing, nothing

nothing:
    ret

resize:                             ; ebx x ecx, by the Bochs display interface
    mov [width], ebx
    mov [height], ecx
    mov eax, ebx
    shl eax, 2
    mov [pitch], eax
    mov edi, 4                      ; off
    xor eax, eax
    call .register
    mov edi, 1
    mov eax, ebx
    call .register
    mov edi, 2
    mov eax, ecx
    call .register
    mov edi, 3
    mov eax, 32
    call .register
    mov edi, 4                      ; on, with the linear frame buffer
    mov eax, 0x41
.register:
    mov edx, 0x1ce
    xchg eax, edi
    out dx, ax
    inc edx
    xchg eax, edi
    out dx, ax
    ret

begin_box:
    mov dword [box_x], 0
    call background
    jmp draw_box

step_box:
    mov eax, [box_x]
    mov edi, 0x202020
    call box
    mov eax, [box_x]
    add eax, 4
    mov ebx, [width]
    sub ebx, 64
    cmp eax, ebx
    jb .inside
    xor eax, eax
.inside:
    mov [box_x], eax
draw_box:
    mov eax, [box_x]
    mov edi, 0xff0000
box:
    mov ebx, 256
    mov ecx, 64
    mov edx, 64
    jmp rectangle

step_repaint:
    mov edi, [frame_buffer]
    xor ebx, ebx
.row:
    mov eax, ebx
    shl eax, 8
    add eax, [ticks]
    xor ecx, ecx
.pixel:
    mov [edi + ecx * 4], eax
    add eax, 0x00010101
    inc ecx
    cmp ecx, [width]
    jb .pixel
    add edi, [pitch]
    inc ebx
    cmp ebx, [height]
    jb .row
    ret

; ---- text
begin_text:
    mov dword [line_number], 0
    xor eax, eax
    xor ebx, ebx
    mov ecx, [width]
    mov edx, [height]
    xor edi, edi
    call rectangle
    xor ebx, ebx
.line:
    push ebx
    call text_line
    pop ebx
    add ebx, 16
    lea eax, [ebx + 16]
    cmp eax, [height]
    jbe .line
    ret

step_text:
    mov eax, [ticks]
    xor edx, edx
    mov ecx, 3
    div ecx
    test edx, edx
    jnz nothing
    mov edi, [frame_buffer]         ; everything 16 rows up
    mov eax, [pitch]
    shl eax, 4
    lea esi, [edi + eax]
    mov ecx, [height]
    sub ecx, 16
    imul ecx, [pitch]
    shr ecx, 6
.move:
    movdqu xmm0, [esi]
    movdqu xmm1, [esi + 16]
    movdqu xmm2, [esi + 32]
    movdqu xmm3, [esi + 48]
    movdqu [edi], xmm0
    movdqu [edi + 16], xmm1
    movdqu [edi + 32], xmm2
    movdqu [edi + 48], xmm3
    add esi, 64
    add edi, 64
    dec ecx
    jnz .move
    mov ebx, [height]
    and ebx, ~15
    sub ebx, 16
; draws the next line of text at row ebx: its number, then words of the sentences below, each in a colour of its own
text_line:
    mov eax, [line_number]
    inc dword [line_number]
    imul esi, eax, 37
    push eax
    push ebx
    xor eax, eax
    mov ecx, [width]
    mov edx, 16
    xor edi, edi
    call rectangle
    pop ebx
    pop edx
    mov dword [colour], 0x00aaaaaa
    xor eax, eax                    ; the number, five digits
    mov ecx, 16
.digit:
    push eax
    push edx
    mov eax, edx
    shr eax, cl
    and eax, 15
    movzx edx, byte [digits + eax]
    mov eax, [esp + 4]
    call glyph
    pop edx
    pop eax
    add eax, 8
    sub ecx, 4
    jns .digit
    add eax, 8
    mov ecx, [width]                ; lines have different lengths
    imul edx, edx, 56
    and edx, 0xff
    sub ecx, edx
.character:
    push edx
    push eax
    mov eax, esi
    xor edx, edx
    mov edi, sentences_end - sentences
    div edi
    mov esi, edx
    pop eax
    pop edx
    movzx edx, byte [sentences + esi]
    cmp dl, ' '
    jne .coloured
    mov edi, esi
    add edi, [line_number]
    shr edi, 2
    and edi, 7
    mov edi, [colours + edi * 4]
    mov [colour], edi
.coloured:
    call glyph
    inc esi
    add eax, 8
    lea edi, [eax + 8]
    cmp edi, ecx
    jbe .character
    ret

glyph:                              ; character edx at x = eax, y = ebx, in [colour] on [paper]
    pusha
    imul ebx, [pitch]
    add ebx, [frame_buffer]
    lea edi, [ebx + eax * 4]
    shl edx, 4
    lea esi, [FONT + edx]
    mov ebx, [colour]
    mov ecx, 16
.row:
    lodsb
    mov ah, 8
    mov edx, edi
.pixel:
    mov ebp, [paper]
    shl al, 1
    jnc .draw
    mov ebp, ebx
.draw:
    mov [edx], ebp
    add edx, 4
    dec ah
    jnz .pixel
    add edi, [pitch]
    dec ecx
    jnz .row
    popa
    ret

; ---- video
make_noise:                         ; 0..15 in each channel; the gradient goes up and down smoothly
    mov edi, NOISE
    mov ecx, 65536 + 1024
    mov eax, 12345
.noise:
    imul eax, eax, 1664525
    add eax, 1013904223
    mov edx, eax
    shr edx, 8
    and edx, 0x000f0f0f
    mov [edi], edx
    add edi, 4
    dec ecx
    jnz .noise
    mov edi, GRADIENT
    xor ecx, ecx
.gradient:
    mov eax, ecx
    call triangle
    shl eax, 16
    mov ebx, eax
    lea eax, [ecx + ecx + 100]
    call triangle
    shl eax, 8
    or ebx, eax
    mov eax, ecx
    shr eax, 1
    call triangle
    or ebx, eax
    mov [edi], ebx
    add edi, 4
    inc ecx
    cmp ecx, 4096
    jb .gradient
    ret

triangle:                           ; eax -> 0..239, with a period of 480
    push edx
    push ecx
    xor edx, edx
    mov ecx, 480
    div ecx
    mov eax, edx
    cmp eax, 240
    jb .rising
    mov eax, 479
    sub eax, edx
.rising:
    pop ecx
    pop edx
    ret

begin_video:
    call background
    jmp video_picture

step_video:
    test byte [ticks], 1
    jnz nothing
video_picture:
    mov ebx, 64 * 4
    mov eax, [pitch]
    shl eax, 6
    add ebx, eax
    add ebx, [frame_buffer]
    xor ecx, ecx                    ; row
.row:
    mov eax, [ticks]                ; the gradient moves sideways and leans
    shl eax, 1
    lea eax, [eax + ecx]
    and eax, 2047
    lea esi, [GRADIENT + eax * 4]
    mov eax, [ticks]                ; every row and picture has another noise
    imul eax, eax, 7919
    imul edx, ecx, 641
    add eax, edx
    and eax, 0xffff
    lea edx, [NOISE + eax * 4]
    mov edi, ebx
    mov ebp, 640 / 4
.pixels:
    movdqu xmm0, [esi]
    movdqu xmm1, [edx]
    paddb xmm0, xmm1
    movdqu [edi], xmm0
    add esi, 16
    add edx, 16
    add edi, 16
    dec ebp
    jnz .pixels
    add ebx, [pitch]
    inc ecx
    cmp ecx, 480
    jb .row
    ret

; ---- typing
begin_typing:
    mov dword [typed], 0
    call background
    mov eax, 112                    ; a window: title bar, page
    mov ebx, 88
    mov ecx, 544
    mov edx, 32
    mov edi, 0x004080
    call rectangle
empty_page:
    mov eax, 112
    mov ebx, 120
    mov ecx, 544
    mov edx, 272
    mov edi, 0xffffff
    jmp rectangle

type_character:
    movzx edx, byte [scan_code]
    test dl, 0x80
    jnz nothing
    cmp dl, key_characters_end - key_characters
    jae .drawn_as_it_is
    movzx edx, byte [key_characters + edx]
.drawn_as_it_is:
    mov eax, [typed]
    cmp eax, 1024
    jb .fits
    push edx
    call empty_page
    pop edx
    xor eax, eax
.fits:
    lea ecx, [eax + 1]
    mov [typed], ecx
    mov ebx, eax
    and eax, 63
    lea eax, [eax * 8 + 128]
    shr ebx, 6
    shl ebx, 4
    add ebx, 128
    mov dword [colour], 0
    mov dword [paper], 0xffffff
    call glyph
    mov dword [paper], 0
    ret

; ---- drawing
background:                         ; red by column, green by row, blue 64
    pusha
    mov edi, [frame_buffer]
    xor ebx, ebx
.row:
    xor ecx, ecx
.pixel:
    mov eax, ecx
    shr eax, 2
    and eax, 255
    shl eax, 16
    mov edx, ebx
    shr edx, 2
    and edx, 255
    shl edx, 8
    or eax, edx
    or eax, 0x40
    mov [edi + ecx * 4], eax
    inc ecx
    cmp ecx, [width]
    jb .pixel
    add edi, [pitch]
    inc ebx
    cmp ebx, [height]
    jb .row
    popa
    ret

rectangle:                          ; at eax, ebx; ecx x edx pixels; colour edi; cut at the right and at the bottom
    pusha
    mov ebp, edi
    mov esi, eax
    add esi, ecx
    cmp esi, [width]
    jbe .fits_across
    mov ecx, [width]
    sub ecx, eax
.fits_across:
    mov esi, ebx
    add esi, edx
    cmp esi, [height]
    jbe .fits_down
    mov edx, [height]
    sub edx, ebx
.fits_down:
    imul ebx, [pitch]
    add ebx, [frame_buffer]
    lea esi, [ebx + eax * 4]
    cld
.row:
    mov edi, esi
    push ecx
    mov eax, ebp
    rep stosd
    pop ecx
    add esi, [pitch]
    dec edx
    jnz .row
    popa
    ret

ready_text: db "READY", 10, 0
mode_text:  db "MODE ", 0
digits:     db "0123456789ABCDEF"
key_characters:                     ; scan codes 0..0x39
    db "?", 27, "1234567890-=", 8, 9, "qwertyuiop[]", 13, "?asdfghjkl;'`?\zxcvbnm,./?*? "
key_characters_end:
sentences:
    db "systemd[1]: Started session-4.scope - Session 4 of user demo. drwxr-xr-x 12 root root 4096 Jun 3 14:07 /usr/lib "
    db "gcc -O2 -Wall -Wextra -std=c11 -fstack-protector-strong -c -o build/display.o src/display.c && echo '[ OK ]' "
    db "Get:17 http://deb.debian.org/debian bookworm/main amd64 libgtk-3-0 amd64 3.24.38-2 [2,690 kB] unpacking ... "
    db "10.0.3.17 - - [03/Jun/2025:14:07:31 +0000] ", '"GET /status HTTP/1.1" 200 5316 "-" "curl/7.88.1" '
    db "{", '"level":"info","msg":"reconciled","namespace":"default","name":"vm-0042","duration":"13.7ms"} '
sentences_end:
align 4
colours:    dd 0xaaaaaa, 0x55ff55, 0xaaaaaa, 0xff5555, 0x5c5cff, 0xaaaaaa, 0xffff55, 0x55ffff
frame_buffer: dd 0
pitch:      dd 0
width:      dd 0
height:     dd 0
ticks:      dd 0
box_x:      dd 0
line_number: dd 0
colour:     dd 0
paper:      dd 0
typed:      dd 0
pointer_x:  dd 0
pointer_y:  dd 0
buttons:    dd 0
scan_code:  db 0
mode:       db 0
ticked:     db 0
times (SECTORS + 1) * 512 - ($ - $$) db 0
